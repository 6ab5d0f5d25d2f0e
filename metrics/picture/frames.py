"""Frames as networks want to see them: resized, cropped, normalised, as the networks' own image processors do it.

Shape legend: N pictures, H W rows and columns.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

Interpolation = Literal["bilinear", "bicubic"]
_PIL = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


def short_side_to(size: int, height: int, width: int) -> tuple[int, int]:
    """(height, width) of a picture whose short side becomes ``size``; the long one is cut to a whole number."""
    if height <= width:
        return size, int(size * width / height)
    return int(size * height / width), size


def long_side_to(size: int, height: int, width: int) -> tuple[int, int]:
    """(height, width) of a picture whose long side becomes at most ``size``; both are cut to whole numbers."""
    scale = min(1.0, size / max(height, width))
    return int(scale * height), int(scale * width)


def resize(frames: Tensor, size: tuple[int, int], interpolation: Interpolation) -> Tensor:
    """Pillow's filter, which averages over what it makes smaller: (N, 3, H, W) uint8 to ``size``, uint8."""
    height, width = size
    pictures = frames.permute(0, 2, 3, 1).contiguous().cpu().numpy()
    small = [np.asarray(Image.fromarray(picture).resize((width, height), _PIL[interpolation])) for picture in pictures]
    return torch.from_numpy(np.stack(small)).permute(0, 3, 1, 2)


def resize_unfiltered(frames: Tensor, size: tuple[int, int], interpolation: Interpolation) -> Tensor:
    """Interpolation between the nearest pixels only, as VBench does it: (N, 3, H, W) to ``size``, float, unclamped."""
    return F.interpolate(frames.float(), size, mode=interpolation, align_corners=False)


def resize_float(frames: Tensor, size: tuple[int, int], interpolation: Interpolation) -> Tensor:
    """``resize`` without rounding to whole values: (N, 3, H, W) to ``size``, float."""
    return F.interpolate(frames.float(), size, mode=interpolation, align_corners=False, antialias=True)


def center_crop(frames: Tensor, size: int) -> Tensor:
    """The ``size`` x ``size`` pixels in the middle; where the margin is odd, its smaller half comes first."""
    top, left = (frames.shape[-2] - size) // 2, (frames.shape[-1] - size) // 2
    return frames[..., top : top + size, left : left + size]


def normalised(frames: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Values of 0 to 255 as (x / 255 - mean) / std per channel."""
    center, spread = (torch.tensor(values, device=frames.device)[:, None, None] for values in (mean, std))
    return (frames.float() / 255 - center) / spread


def batches(frames: Tensor, stride: int, batch_size: int) -> Iterator[Tensor]:
    """Every ``stride``-th frame from the first on, ``batch_size`` at a time."""
    yield from frames[::stride].split(batch_size)
