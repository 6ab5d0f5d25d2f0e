"""Clips and sounds to files and back, with FFmpeg inside the PyAV wheel.

Picture and sound are placed by their presentation times, never by counting: the priming that AAC puts before a track, a
track that starts late and a frame rate that varies must not move a sound away from what made it.

Shape legend: F frames, H W rows and columns, S samples.
"""

from __future__ import annotations

import io
import tempfile
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import av.audio
import av.container
import av.error
import av.video
import numpy as np
import torch
from av.video.reformatter import Colorspace, VideoReformatter
from torch import Tensor

from data.decoding import (
    Source,
    audio_frame,
    decode_pictures,
    decode_sound,
    is_cover,
    opened,
    picture_track,
    source_name,
)
from harmony_lit.containers import Clip
from harmony_lit.errors import UserError

_BT709 = 1  # AVCOL_SPC_BT709 and its primaries and transfer; without the tags players guess the colours by picture size
_LIMITED_RANGE = 1
_AAC_BITS_PER_S = {8_000: 48_000, 16_000: 64_000}  # it allows at most 6 bits per sample; others get 128 kbit/s


@dataclass(frozen=True)
class MediaInfo:
    """What a file holds, measured while it was decoded.

    Attributes:
        fps: Average frames per second of the picture track as stored.
        frames: Stored frames.
        video_s: Duration of the picture in seconds.
        sample_rate_hz: Rate of the sound track as stored; None without one.
        audio_start_s: Start of the sound after the first picture (negative: before it).
        audio_s: Duration of the sound in seconds.
        fps_jitter: Largest deviation of a frame's time from an even spacing, in frames.
    """

    fps: float
    frames: int
    video_s: float
    sample_rate_hz: int | None
    audio_start_s: float
    audio_s: float
    fps_jitter: float


def write_mp4(path: str | Path, clip: Clip, crf: int = 18) -> None:
    """Writes H.264 (yuv420p, BT.709) and AAC with the index in front, so that browsers play it while it loads.

    Args:
        path: The file to write.
        clip: (F, 3, H, W) uint8 and (S,) samples; a clip with no samples gets no sound track.
        crf: x264's quality: 0 is lossless, 18 hard to tell from the source, 51 the worst.

    Raises:
        UserError: If a side is odd (yuv420p halves the colour planes) or the clip has no frame.
    """
    frames, _, height, width = clip.video.shape
    if frames == 0 or height % 2 or width % 2:
        raise UserError(f"an mp4 needs at least one frame with even sides, not {frames} of {height}x{width}")
    rate = Fraction(clip.fps).limit_denominator(1001)
    with av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"}) as container:
        # The same bytes each time: x264's output depends on the number of threads, and its macroblock tree, in SIMD
        # code, on memory that nobody has written (seen with x264 in PyAV 18.1 and MALLOC_PERTURB_).
        # "veryfast" loses nothing at this quality and size of frame.
        quality = {"crf": str(crf), "preset": "veryfast", "threads": "1", "x264-params": "mbtree=0"}
        video = container.add_stream("libx264", rate=rate, options=quality)
        assert isinstance(video, av.video.VideoStream)
        video.width, video.height, video.pix_fmt = width, height, "yuv420p"
        context = video.codec_context
        context.colorspace = context.color_primaries = context.color_trc = _BT709
        context.color_range = _LIMITED_RANGE
        sound = None
        if clip.audio.numel():
            bits = _AAC_BITS_PER_S.get(clip.sample_rate_hz, 128_000)
            fast = {"aac_coder": "fast"}  # the default searches longer for no gain to the ear at these rates
            sound = container.add_stream("aac", rate=clip.sample_rate_hz, layout="mono", bit_rate=bits, options=fast)
            assert isinstance(sound, av.audio.AudioStream)
        pixels = clip.video.permute(0, 2, 3, 1).contiguous().cpu().numpy()
        converter = VideoReformatter()  # one for all frames: it keeps its tables
        for index, picture in enumerate(pixels):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame = converter.reformat(frame, format="yuv420p", dst_colorspace=Colorspace.ITU709)
            frame.pts, frame.time_base = index, 1 / rate
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        if sound is not None:
            container.mux(sound.encode(audio_frame(_samples(clip.audio)[None], "fltp", clip.sample_rate_hz)))
            container.mux(sound.encode(None))


def encode_mp4(clip: Clip, crf: int = 18) -> bytes:
    """``write_mp4`` into memory; the same clip gives the same bytes."""
    # The index can only be moved to the front of a file that can be opened a second time, hence the folder.
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.mp4"
        write_mp4(path, clip, crf)
        return path.read_bytes()


def encode_flac(audio: Tensor, sample_rate_hz: int) -> bytes:
    """(S,) samples in [-1, 1] to 16-bit FLAC: lossless up to the rounding to 16 bits."""
    return _encode_sound(audio, sample_rate_hz, "flac", "flac")


def write_wav(path: str | Path, audio: Tensor, sample_rate_hz: int) -> None:
    """Writes (S,) samples in [-1, 1] as a 16-bit mono wav."""
    Path(path).write_bytes(_encode_sound(audio, sample_rate_hz, "wav", "pcm_s16le"))


def read_clip(
    source: Source,
    fps: float | None = 25.0,
    sample_rate_hz: int | None = 16_000,
    size: tuple[int, int] | None = None,
    require_audio: bool = True,
) -> Clip:
    """Decodes a video file to frames at ``fps`` and mono sound at ``sample_rate_hz``, both from the first picture on.

    Output frame i is the stored frame whose time is nearest to i / fps. The sound is cut, or padded with silence, to
    the picture's length: S = round(F * sample_rate_hz / fps).

    Args:
        source: Path, or the bytes of a file.
        fps: Frames per second wanted; None keeps what is stored (its mean, where frames are unevenly spaced).
        sample_rate_hz: Samples per second wanted; None keeps what is stored.
        size: (height, width) to scale to, filling it, and crop around the centre; None keeps the stored size.
        require_audio: Whether a file without sound is an error; otherwise it reads as silence.

    Raises:
        UserError: If the file is absent, not a media file, truncated, or lacks a picture or a sound track.
    """
    clip, _ = inspect_clip(source, fps, sample_rate_hz, size, require_audio)
    samples = round(clip.video.shape[0] * clip.sample_rate_hz / clip.fps)
    audio = torch.zeros(samples)
    kept = min(samples, clip.audio.numel())
    audio[:kept] = clip.audio[:kept]
    return Clip(clip.video, audio, clip.fps, clip.sample_rate_hz)


def inspect_clip(
    source: Source,
    fps: float | None = 25.0,
    sample_rate_hz: int | None = 16_000,
    size: tuple[int, int] | None = None,
    require_audio: bool = True,
) -> tuple[Clip, MediaInfo]:
    """``read_clip`` that leaves the sound as long as it is, and says what the file holds."""
    name = source_name(source)
    with opened(source) as container:
        stream = picture_track(container, name)
        fps = fps or float(stream.average_rate or 25)
        pictures, times_s, video_s = decode_pictures(stream, container, fps, size)
    audio, start_s, stored_hz = torch.zeros(0), 0.0, None
    with opened(source) as container:
        if container.streams.audio:
            stored_hz = container.streams.audio[0].rate
            sample_rate_hz = sample_rate_hz or stored_hz
            audio, start_s = decode_sound(container.streams.audio[0], container, sample_rate_hz, times_s[0])
        elif require_audio:
            raise UserError(_no_sound(name))
    sample_rate_hz = sample_rate_hz or 16_000
    spacing_s = (times_s[-1] - times_s[0]) / max(1, len(times_s) - 1)
    even = times_s[0] + spacing_s * np.arange(len(times_s))
    info = MediaInfo(
        fps=1 / spacing_s if spacing_s else fps,
        frames=len(times_s),
        video_s=video_s,
        sample_rate_hz=stored_hz,
        audio_start_s=start_s,
        audio_s=audio.numel() / sample_rate_hz - max(0.0, start_s),
        fps_jitter=float(np.abs(times_s - even).max() / spacing_s) if spacing_s else 0.0,
    )
    return Clip(pictures, audio, fps, sample_rate_hz), info


def read_audio(source: Source, sample_rate_hz: int = 16_000) -> Tensor:
    """Decodes the sound of any media file to (S,) mono samples in [-1, 1].

    In a file with pictures, time 0 is the first picture, as in ``read_clip``; otherwise the first sample.

    Raises:
        UserError: If the file is absent, not a media file, truncated or without sound.
    """
    with opened(source) as container:
        if not container.streams.audio:
            raise UserError(_no_sound(source_name(source)))
        pictures = [stream for stream in container.streams.video if not is_cover(stream)]
        origin_s = None
        if pictures and pictures[0].start_time is not None and pictures[0].time_base is not None:
            origin_s = float(pictures[0].start_time * pictures[0].time_base)
        return decode_sound(container.streams.audio[0], container, sample_rate_hz, origin_s)[0]


def probe_audio_rate(source: Source) -> int | None:
    """Samples per second of the sound as stored; None without a sound track."""
    with opened(source) as container:
        return container.streams.audio[0].rate if container.streams.audio else None


def _no_sound(name: str) -> str:
    return f"{name} has no sound track; give an mp4 with sound, or drop the driver"


def _samples(audio: Tensor) -> np.ndarray:
    return audio.detach().to("cpu", torch.float32).clamp(-1, 1).numpy()


def _encode_sound(audio: Tensor, sample_rate_hz: int, container_format: str, codec: str) -> bytes:
    if not audio.numel():
        raise UserError("a sound file needs at least one sample")
    whole = np.clip(np.round(_samples(audio) * 32768), -32768, 32767).astype(np.int16)
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container_format) as container:
        stream = container.add_stream(codec, rate=sample_rate_hz, layout="mono")
        assert isinstance(stream, av.audio.AudioStream)
        stream.format = "s16"
        container.mux(stream.encode(audio_frame(whole[None], "s16", sample_rate_hz)))
        container.mux(stream.encode(None))
    return buffer.getvalue()
