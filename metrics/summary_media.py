"""Clips in TensorBoard: moving pictures, spectrograms and sound, without packages beyond what draws them.

``SummaryWriter.add_video`` needs moviepy; but TensorBoard shows a GIF wherever it shows an image, and Pillow writes
them.

Shape legend: F frames, H W rows and columns, S samples, M mel bands, N spectrogram frames.
"""

from __future__ import annotations

import io

import matplotlib as mpl
import numpy as np
from librosa.feature import melspectrogram
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image
from tensorboard.compat.proto.summary_pb2 import Summary
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from harmony_lit.containers import Clip
from metrics.base import OffsetCurve

_WIDTH, _SPECTRUM_HEIGHT = 160, 48
_FLOOR_DB = -70.0

Pixels = NDArray[np.uint8]


def add_clip(writer: SummaryWriter, tag: str, clip: Clip, step: int) -> None:
    """Logs a clip as ``TAG/video`` (a GIF over its spectrogram), ``TAG/spectrogram`` and ``TAG/audio``."""
    data = encode_gif(clip)
    rows, columns = clip.video.shape[2:]
    height = round(_WIDTH * rows / columns) + _SPECTRUM_HEIGHT
    picture = Summary.Image(height=height, width=_WIDTH, colorspace=3, encoded_image_string=data)
    summary = Summary(value=[Summary.Value(tag=f"{tag}/video", image=picture)])
    writer._get_file_writer().add_summary(summary, step)  # type: ignore[no-untyped-call]
    spectrogram = draw_spectrogram(clip.audio, clip.sample_rate_hz, 2 * _WIDTH, 2 * _SPECTRUM_HEIGHT)
    writer.add_image(f"{tag}/spectrogram", spectrogram, step, dataformats="HWC")
    writer.add_audio(f"{tag}/audio", clip.audio[None], step, sample_rate=clip.sample_rate_hz)


def encode_gif(clip: Clip) -> bytes:
    """A GIF of the clip at its own speed, over its spectrogram with a line where the sound is."""
    frames, _, height, width = clip.video.shape
    rows = round(_WIDTH * height / width)
    spectrum = draw_spectrogram(clip.audio, clip.sample_rate_hz, _WIDTH, _SPECTRUM_HEIGHT)
    pages = []
    for index, picture in enumerate(clip.video.permute(0, 2, 3, 1).cpu().numpy()):
        page = np.empty((rows + _SPECTRUM_HEIGHT, _WIDTH, 3), np.uint8)
        page[:rows] = np.asarray(Image.fromarray(picture).resize((_WIDTH, rows), Image.Resampling.BICUBIC))
        page[rows:] = spectrum
        page[rows:, min(_WIDTH - 1, round((index + 0.5) / frames * _WIDTH))] = 255
        pages.append(Image.fromarray(page))
    palette = pages[frames // 2].quantize(256)
    pages = [page.quantize(palette=palette, dither=Image.Dither.NONE) for page in pages]
    # A GIF counts in hundredths of a second; rounding the ends, not the durations, keeps the total.
    ends = np.round(100 * np.arange(frames + 1) / clip.fps)
    buffer = io.BytesIO()
    durations_ms = (10 * np.diff(ends)).astype(int).tolist()
    pages[0].save(buffer, "GIF", save_all=True, append_images=pages[1:], duration=durations_ms, loop=0)
    return buffer.getvalue()


def draw_spectrogram(audio: Tensor, sample_rate_hz: int, width: int, height: int) -> Pixels:
    """Log-mel spectrogram of (S,) samples as a picture (height, width, 3), low tones at the bottom."""
    power = melspectrogram(y=audio.cpu().numpy(), sr=sample_rate_hz, n_fft=512, hop_length=128, n_mels=64)
    level_db = 10 * np.log10(np.maximum(power, 1e-10))
    shade = ((level_db - _FLOOR_DB) / (20 - _FLOOR_DB)).clip(0, 1)[::-1]
    coloured = (mpl.colormaps["magma"](shade)[..., :3] * 255).astype(np.uint8)
    return np.asarray(Image.fromarray(coloured).resize((width, height), Image.Resampling.BILINEAR))


def draw_offset_curve(curve: OffsetCurve) -> Pixels:
    """Distance of sound and picture at every offset as a picture (H, W, 3), the least of them marked."""
    figure = Figure(figsize=(4.0, 2.2), dpi=100, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.plot(curve.offsets_frames, curve.distances, color="#4a55c8", marker=".", linewidth=1.2)
    least = min(curve.distances)
    offset = curve.offsets_frames[curve.distances.index(least)]
    axes.axvline(0, color="#9a9fae", linewidth=0.8)
    axes.scatter([offset], [least], color="#d9504a", zorder=3)
    axes.set(
        xlabel="offset in frames (right: sound leads)",
        ylabel="distance",
        title=f"least at {offset:+d} frames" if offset else "least where they coincide",
    )
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
