"""Where a metric gets faces from: a source gives square crops at 25 frames per second, one for each face it follows.

Shape legend: F frames of a clip, F' frames of a crop, H W rows and columns.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional as F

from harmony_lit.containers import Clip
from metrics.rates import frames_at

CROP_FPS = 25.0
"""Frames per second of every crop, whatever the clip's own."""


@dataclass(frozen=True)
class FaceCrop:
    """One face, followed over a part of a clip.

    Attributes:
        frames: (F', 3, size, size) uint8 RGB, 25 a second.
        first_frame: Where the crop begins in the clip, in frames at 25 fps.
    """

    frames: Tensor
    first_frame: int = 0


class FaceSource(ABC):
    """Finds the faces of a clip and cuts them out."""

    @abstractmethod
    def describe(self) -> str:
        """Detector, tracking and cropping with the settings that move a number, for a metric's protocol."""

    def missing(self) -> str | None:
        """What the source needs and does not have, as in ``needs ...``; None if it can run."""
        return None

    @abstractmethod
    def crops(self, clip: Clip, size: int) -> list[FaceCrop]:
        """The faces of ``clip`` that pass the source's settings; none at all is an empty list.

        Args:
            clip: At any frame rate; crops are at 25 fps.
            size: Rows and columns of a crop.
        """


class WholePicture(FaceSource):
    """Takes the picture, or the largest square in its middle, for the one face: for clips that are crops already."""

    def describe(self) -> str:
        """See the base."""
        return "whole picture (centred square)"

    def crops(self, clip: Clip, size: int) -> list[FaceCrop]:
        """See the base."""
        video = frames_at(clip, CROP_FPS)
        height, width = video.shape[-2:]
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        return [FaceCrop(scaled(video[..., top : top + side, left : left + side], size))]


def scaled(video: Tensor, size: int) -> Tensor:
    """(F, 3, H, W) uint8 -> (F, 3, size, size), bilinear, without aliasing where it shrinks."""
    if tuple(video.shape[-2:]) == (size, size):
        return video
    if not len(video):
        return video.new_zeros(0, 3, size, size)
    return F.interpolate(video, (size, size), mode="bilinear", antialias=True)
