"""Tracks of a media file to frames and samples at the times they are presented, beneath ``data.media``.

Shape legend: F frames, H W rows and columns, S samples.
"""

from __future__ import annotations

import contextlib
import io
import struct
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import IO

import av
import av.audio
import av.container
import av.error
import av.video
import numpy as np
import torch
from av.audio.resampler import AudioResampler
from av.video.reformatter import VideoReformatter
from torch import Tensor

from harmony_lit.errors import UserError

Source = str | Path | bytes

_CUT_TOLERANCE_S = 0.2


def source_name(source: Source) -> str:
    """What to call a source in a message."""
    return "the given bytes" if isinstance(source, bytes) else str(source)


@contextlib.contextmanager
def opened(source: Source) -> Iterator[av.container.InputContainer]:
    """Opens a file or bytes; FFmpeg's errors become a UserError with one sentence."""
    name = source_name(source)
    if not isinstance(source, bytes) and not Path(source).is_file():
        raise UserError(f"{name} is not there; give the path of an existing media file")
    with io.BytesIO(source) if isinstance(source, bytes) else Path(source).open("rb") as file:
        head = file.read(12)
        if head[4:8] == b"ftyp" and not _boxes_are_whole(file):
            raise UserError(f"{name} is truncated: its end is missing; make or copy it again")
    opened = False
    try:
        with av.open(io.BytesIO(source) if isinstance(source, bytes) else str(source)) as container:
            opened = True
            yield container
    except (av.error.FFmpegError, IndexError) as error:
        if opened:
            raise UserError(f"{name} is truncated or damaged ({error}); make or copy it again") from error
        raise UserError(f"{name} is not a media file that FFmpeg can read") from error


def _boxes_are_whole(file: IO[bytes]) -> bool:
    """Whether every box of an mp4 lies inside the file: FFmpeg reads a cut one as if it were short or had no tracks."""
    position, end = 0, file.seek(0, io.SEEK_END)
    while position + 16 <= end:
        file.seek(position)
        size, _, long_size = struct.unpack(">I4sQ", file.read(16))
        if size == 0:  # "to the end of the file"
            return True
        position += max(8, long_size if size == 1 else size)
    return position <= end


def picture_track(container: av.container.InputContainer, name: str) -> av.video.VideoStream:
    """The first track of moving pictures."""
    for stream in container.streams.video:
        if not is_cover(stream):
            stream.thread_type = "AUTO"
            return stream
    raise UserError(f"{name} has no picture track; give a video file")


def is_cover(stream: av.video.VideoStream) -> bool:
    """Whether a track is the cover picture of a sound file."""
    return bool(stream.disposition & av.stream.Disposition.attached_pic)


def decode_pictures(
    stream: av.video.VideoStream, container: av.container.InputContainer, fps: float, size: tuple[int, int] | None
) -> tuple[Tensor, np.ndarray, float]:
    """Frames nearest to i / fps as (F, 3, H, W), the times of the stored frames, and the picture's duration."""
    kept: list[np.ndarray] = []
    times_s: list[float] = []
    previous: av.VideoFrame | None = None
    last_s = 1 / float(stream.average_rate or fps)
    converter = VideoReformatter()

    def repeat_until(frame: av.VideoFrame, end_s: float) -> None:
        picture = None
        while len(kept) / fps < end_s - 1e-6:
            picture = _pixels(frame, size, converter) if picture is None else picture
            kept.append(picture)

    for frame in container.decode(stream):
        times_s.append(frame.time if frame.time is not None else len(times_s) * last_s)
        if previous is not None:
            repeat_until(previous, (times_s[-2] + times_s[-1]) / 2 - times_s[0])
        previous = frame
    if previous is None:
        raise av.error.InvalidDataError(0, "no frame could be decoded")
    video_s = times_s[-1] - times_s[0] + last_s
    _refuse_cut(stream, video_s)
    repeat_until(previous, max(video_s - 0.5 / fps, 0.5 / fps))
    return torch.from_numpy(np.stack(kept)).permute(0, 3, 1, 2).contiguous(), np.array(times_s), video_s


def _pixels(frame: av.VideoFrame, size: tuple[int, int] | None, converter: VideoReformatter) -> np.ndarray:
    """(H, W, 3) uint8: upright, scaled to fill ``size`` and cropped around the centre."""
    turns = round(frame.rotation / 90) % 4
    if size is None:
        return np.rot90(converter.reformat(frame, format="rgb24").to_ndarray(), turns)
    height, width = (frame.width, frame.height) if turns % 2 else (frame.height, frame.width)
    scale = max(size[0] / height, size[1] / width)
    scaled = (max(size[0], round(height * scale)), max(size[1], round(width * scale)))
    stored = scaled[::-1] if turns % 2 else scaled
    small = converter.reformat(frame, stored[1], stored[0], format="rgb24", interpolation="AREA")
    picture = np.rot90(small.to_ndarray(), turns)
    top, left = (scaled[0] - size[0]) // 2, (scaled[1] - size[1]) // 2
    return picture[top : top + size[0], left : left + size[1]]


def decode_sound(
    stream: av.audio.AudioStream, container: av.container.InputContainer, sample_rate_hz: int, origin_s: float | None
) -> tuple[Tensor, float]:
    """(S,) samples from ``origin_s`` on, padded in front if they start later; and their start relative to it."""
    to_mono = AudioResampler(format="fltp", layout="mono", rate=stream.rate)
    pieces: list[np.ndarray] = []
    start_s: float | None = None
    for frame in container.decode(stream):
        if start_s is None:
            start_s = frame.time or 0.0
        pieces.extend(mono.to_ndarray()[0] for mono in to_mono.resample(frame))
    if start_s is None:
        raise av.error.InvalidDataError(0, "no sound could be decoded")
    pieces.extend(mono.to_ndarray()[0] for mono in to_mono.resample(None))
    samples = np.concatenate(pieces)
    _refuse_cut(stream, len(samples) / stream.rate)
    if stream.duration and stream.time_base:  # an encoder's padding after the end is sound nobody recorded
        samples = samples[: max(1, round(float(stream.duration * stream.time_base) * stream.rate))]
    offset_s = 0.0 if origin_s is None else start_s - origin_s
    shift = round(offset_s * stream.rate)
    samples = samples[-shift:] if shift < 0 else np.concatenate([np.zeros(shift, np.float32), samples])
    return torch.from_numpy(_resampled(samples, stream.rate, sample_rate_hz)), offset_s


def audio_frame(samples: np.ndarray, sample_format: str, sample_rate_hz: int) -> av.AudioFrame:
    """(1, S) samples as a frame that starts at time 0."""
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples), format=sample_format, layout="mono")
    frame.sample_rate, frame.pts, frame.time_base = sample_rate_hz, 0, Fraction(1, sample_rate_hz)
    return frame


def _resampled(samples: np.ndarray, stored_hz: int, wanted_hz: int) -> np.ndarray:
    if stored_hz == wanted_hz or not len(samples):
        return samples.copy()
    resampler = AudioResampler(format="fltp", layout="mono", rate=wanted_hz)
    frames = resampler.resample(audio_frame(samples[None], "fltp", stored_hz)) + resampler.resample(None)
    return np.concatenate([frame.to_ndarray()[0] for frame in frames])[: round(len(samples) * wanted_hz / stored_hz)]


def _refuse_cut(stream: av.stream.Stream, decoded_s: float) -> None:
    """Formats whose header knows the duration must hold it: FFmpeg itself reads a cut file to where it ends."""
    if stream.duration and stream.time_base:
        missing_s = float(stream.duration * stream.time_base) - decoded_s
        if missing_s > max(_CUT_TOLERANCE_S, 0.02 * decoded_s):
            raise av.error.InvalidDataError(0, f"the last {missing_s:.2f} s are missing")
