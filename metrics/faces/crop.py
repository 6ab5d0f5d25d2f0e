"""A track cut out as SyncNet was trained to see it: the face in the upper middle of a square, steadied over time.

Shape legend: F frames of the clip, F' frames of the track, H W rows and columns.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from metrics.faces.tracks import Track

MARGIN = 0.4
"""The square reaches ``1 + MARGIN`` half sizes to each side of the centre, 1 above and ``1 + 2 MARGIN`` below it."""
MEDIAN_FRAMES = 13
"""Frames whose median steadies position and size."""
GREY = 110
"""What lies beyond the picture."""


def crop_track(video: Tensor, track: Track, size: int) -> Tensor:
    """The face of ``track`` in ``video`` (F, 3, H, W), uint8 -> (F', 3, size, size); F' >= ``MEDIAN_FRAMES``."""
    left, top, right, bottom = track.boxes.T
    half = steadied(np.maximum(right - left, bottom - top) / 2)
    x, y = steadied((left + right) / 2), steadied((top + bottom) / 2)
    shown = video[track.first_frame : track.first_frame + len(track)].permute(0, 2, 3, 1).contiguous().cpu().numpy()
    crops = [cv2.resize(_window(frame, *window_of(x[i], y[i], half[i])), (size, size)) for i, frame in enumerate(shown)]
    return torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).contiguous()


def steadied(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The running median of (F',) values, zeros standing beyond both ends as in ``scipy.signal.medfilt``."""
    padded = np.pad(values, MEDIAN_FRAMES // 2)
    return np.median(np.lib.stride_tricks.sliding_window_view(padded, MEDIAN_FRAMES), axis=-1)


def window_of(x: float, y: float, half: float) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of the square around a face with this centre and half size, in whole pixels.

    The reference pads a picture by ``border`` before it cuts, and cuts the numbers off there: so it is here, where
    nothing is padded, because rounding otherwise would move crops by a pixel.
    """
    below = 1 + 2 * MARGIN
    border = int(half * below)
    x, y = x + border, y + border
    edges = (x - half * (1 + MARGIN), y - half, x + half * (1 + MARGIN), y + half * below)
    left, top, right, bottom = (int(edge) - border for edge in edges)
    return left, top, right, bottom


def _window(frame: np.ndarray, left: int, top: int, right: int, bottom: int) -> np.ndarray:
    """That part of a frame (H, W, 3); grey where it reaches beyond."""
    window = np.full((bottom - top, right - left, 3), GREY, np.uint8)
    height, width = frame.shape[:2]
    rows, columns = slice(max(0, top), min(height, bottom)), slice(max(0, left), min(width, right))
    part = frame[rows, columns]
    window[rows.start - top :, columns.start - left :][: part.shape[0], : part.shape[1]] = part
    return window
