"""What a face detector is: pictures in, boxes with confidences out.

Shape legend: F frames, K faces of one picture, H W rows and columns.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

Boxes = NDArray[np.float64]
"""(K, 4): left, top, right and bottom in pixels."""


@dataclass(frozen=True, eq=False)
class Faces:
    """The faces of one picture, the most confident first.

    Attributes:
        boxes: (K, 4) left, top, right and bottom in pixels; they may reach beyond the picture.
        confidences: (K,), comparable within one detector only.
    """

    boxes: Boxes
    confidences: NDArray[np.float64]

    @classmethod
    def sorted(cls, boxes: Boxes, confidences: NDArray[np.float64]) -> Faces:
        """Faces in any order, brought into theirs; those of the same confidence stay as they were."""
        order = np.argsort(-confidences, kind="stable")
        return cls(np.asarray(boxes, np.float64).reshape(-1, 4)[order], np.asarray(confidences, np.float64)[order])

    @classmethod
    def none(cls) -> Faces:
        """A picture without a face."""
        return cls(np.zeros((0, 4)), np.zeros(0))

    def __len__(self) -> int:
        return len(self.boxes)

    def apart(self, max_iou: float) -> Faces:
        """Those left by non-maximum suppression: each overlaps no better one that is left by more than ``max_iou``."""
        overlaps = iou(self.boxes, self.boxes)
        kept: list[int] = []
        for index in range(len(self)):
            if all(overlaps[index, better] <= max_iou for better in kept):
                kept.append(index)
        return Faces(self.boxes[kept], self.confidences[kept])


class FaceDetector(ABC):
    """Finds faces in pictures.

    Detectors are values: two with the same settings are equal, can be sent to another process, and load what they need
    when the first picture comes.
    """

    @abstractmethod
    def describe(self) -> str:
        """Name, checkpoint and the settings that move a number, for a metric's protocol."""

    def missing(self) -> str | None:
        """What the detector needs and does not have, as in ``needs ...``; None if it can run."""
        return None

    @abstractmethod
    def detect(self, video: Tensor) -> list[Faces]:
        """The faces of each frame of ``video`` (F, 3, H, W), uint8 RGB."""


def iou(a: Boxes, b: Boxes) -> NDArray[np.float64]:
    """Intersection over union of boxes (K, 4) with boxes (M, 4) -> (K, M)."""
    inner = np.minimum(a[:, None, 2:], b[None, :, 2:]) - np.maximum(a[:, None, :2], b[None, :, :2])
    shared = np.prod(np.maximum(inner, 0), axis=-1)
    return shared / (_areas(a)[:, None] + _areas(b)[None, :] - shared)


def _areas(boxes: Boxes) -> NDArray[np.float64]:
    return np.prod(boxes[:, 2:] - boxes[:, :2], axis=-1)
