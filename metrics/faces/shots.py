"""Shot cuts by content: where colours change at once all over the picture.

The measure and the defaults are those of PySceneDetect's ``ContentDetector``, which SyncNet's authors use: the mean
absolute change of hue, saturation and value from one frame to the next, each from 0 to 255 (hue to 179).

Shape legend: F frames, H W rows and columns.
"""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

SHORTEST_SHOT = 15
"""Frames that must lie between two cuts, and before the first."""
_WIDTH_PX = 256  # pictures are compared at about this width


def content_change(video: Tensor) -> NDArray[np.float64]:
    """Mean change of colour: (F, 3, H, W) uint8 RGB -> (F,), from frame i - 1 to frame i; 0 for the first."""
    colours = [_hsv(frame) for frame in video.permute(0, 2, 3, 1).contiguous().cpu().numpy()]
    changes = [float(cv2.absdiff(before, after).mean()) for before, after in pairwise(colours)]
    return np.array([0.0, *changes][: len(colours)])


def find_shots(video: Tensor, threshold: float) -> list[range]:
    """The shots of a clip as ranges of frames, in order; a clip without a cut is one shot.

    Args:
        video: (F, 3, H, W) uint8 RGB.
        threshold: Least ``content_change`` of a cut.
    """
    cuts = [0]
    for frame in np.flatnonzero(content_change(video) >= threshold):
        if frame - cuts[-1] >= SHORTEST_SHOT:
            cuts.append(int(frame))
    return [range(start, end) for start, end in pairwise([*cuts, len(video)])]


def _hsv(frame: np.ndarray) -> np.ndarray:
    shrink = max(1.0, frame.shape[1] / _WIDTH_PX)
    size = round(frame.shape[1] / shrink), max(1, round(frame.shape[0] / shrink))
    return cv2.cvtColor(cv2.resize(frame, size), cv2.COLOR_RGB2HSV)
