"""A clip cut into the segments that Synchformer looks at and listens to.

Shape legend: F frames, H W rows and columns, N samples, S segments.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional

from harmony_lit.containers import Clip
from metrics.rates import frames_at, samples_at
from metrics.synchformer.mel import SAMPLE_RATE_HZ
from metrics.synchformer.video import FRAMES, SIZE

FPS = 25.0
SEGMENT_S = FRAMES / FPS
"""Seconds of a segment; the next begins half of it later."""
_SAMPLES = round(SEGMENT_S * SAMPLE_RATE_HZ)
_FRAMES_AT_ONCE = 8


def as_segments(x: Tensor, length: int) -> Tensor:
    """Overlapping pieces of ``length`` along the first axis, half of it apart: (N, ...) -> (S, length, ...), a view."""
    if len(x) < length:
        return x.new_zeros(0, length, *x.shape[1:])
    return x.unfold(0, length, length // 2).movedim(-1, 1)


def resized(frames: Tensor) -> Tensor:
    """Frames scaled to a short side of 224 and cropped around the centre: (F, 3, H, W) uint8 -> (F, 3, 224, 224) uint8.

    Bicubic, antialiased, rounded to whole levels.
    """
    height, width = frames.shape[2:]
    short = min(height, width)
    size = (int(SIZE * height / short), int(SIZE * width / short))
    top, left = (round((side - SIZE) / 2) for side in size)
    if size != (height, width):
        # A few at a time: as floating numbers, the frames of a clip would take a gigabyte.
        frames = torch.cat([_bicubic(piece, size) for piece in frames.split(_FRAMES_AT_ONCE)])
    return frames[..., top : top + SIZE, left : left + SIZE]


def video_segments(clip: Clip) -> Tensor:
    """(S, 16, 3, 224, 224) uint8 at 25 frames per second; none if the clip is shorter than 0.64 s."""
    frames = frames_at(clip, FPS)
    return as_segments(resized(frames), FRAMES) if len(frames) >= FRAMES else as_segments(frames, FRAMES)


def audio_segments(clip: Clip) -> Tensor:
    """(S, 10240) at 16 kHz; none if the clip is shorter than 0.64 s."""
    return as_segments(samples_at(clip, SAMPLE_RATE_HZ), _SAMPLES)


def batches(segments: Tensor, size: int, device: torch.device, dtype: torch.dtype) -> Iterator[Tensor]:
    """``segments`` of frames, ``size`` at a time, as numbers in [-1, 1]."""
    for piece in segments.split(size):
        yield (piece.to(device).float() / 127.5 - 1).to(dtype)


def _bicubic(frames: Tensor, size: tuple[int, int]) -> Tensor:
    scaled = functional.interpolate(frames.float(), size, mode="bicubic", antialias=True)
    return scaled.round().clamp(0, 255).to(torch.uint8)
