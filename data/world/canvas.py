"""A supersampled drawing surface in unit coordinates: x to the right and y down, both 0..1 over the picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import cv2
import numpy as np
from numpy.typing import NDArray

from data.world.cast import Colour

_FRACTION_BITS = 4
_ARC = np.stack([np.cos(np.linspace(0, 2 * np.pi, 40)), np.sin(np.linspace(0, 2 * np.pi, 40))], axis=1)


class Canvas:
    """Shapes drawn large and averaged down, which gives soft edges and motion finer than a pixel.

    Args:
        size: Pixels per side of the finished picture.
        pixels: (S, S, 3) uint8 supersampled pixels to begin with; plain white if left out.
    """

    def __init__(self, size: int, pixels: NDArray[np.uint8] | None = None) -> None:
        self.size = size
        self.scale = 2 * size if size > 96 else 4 * size
        self.pixels = np.full((self.scale, self.scale, 3), 255, np.uint8) if pixels is None else pixels

    def copy(self) -> Self:
        """An independent copy, to draw a frame over a common base."""
        return type(self)(self.size, self.pixels.copy())

    def gradient(self, top: Colour, bottom: Colour) -> None:
        """Fills everything, from ``top`` to ``bottom``."""
        mix = np.linspace(0, 1, self.scale)[:, None, None]
        rows = np.array(top) * (1 - mix) + np.array(bottom) * mix
        self.pixels[:] = np.round(rows).astype(np.uint8)

    def polygon(self, points: NDArray[np.float64] | Sequence[tuple[float, float]], colour: Colour) -> None:
        """A filled polygon of ``points`` (N, 2)."""
        cv2.fillPoly(self.pixels, [self._fixed(points)], colour, shift=_FRACTION_BITS)

    def outline(
        self,
        points: NDArray[np.float64] | Sequence[tuple[float, float]],
        colour: Colour,
        width: float,
        closed: bool = True,
    ) -> None:
        """A line of ``width`` along ``points`` (N, 2)."""
        thickness = max(1, round(width * self.scale))
        cv2.polylines(self.pixels, [self._fixed(points)], closed, colour, thickness, cv2.LINE_8, _FRACTION_BITS)

    def ellipse(self, x: float, y: float, radius_x: float, radius_y: float, colour: Colour) -> None:
        """A filled ellipse around (``x``, ``y``)."""
        self.polygon(_ARC * (radius_x, radius_y) + (x, y), colour)

    def ring(self, x: float, y: float, radius_x: float, radius_y: float, colour: Colour, width: float) -> None:
        """The outline of an ellipse around (``x``, ``y``)."""
        self.outline(_ARC * (radius_x, radius_y) + (x, y), colour, width)

    def picture(self) -> NDArray[np.uint8]:
        """(size, size, 3) uint8."""
        pixels = self.pixels
        while pixels.shape[0] >= 2 * self.size:  # OpenCV has a fast path for halving, none for quarters
            half = pixels.shape[0] // 2
            pixels = cv2.resize(pixels, (half, half), interpolation=cv2.INTER_AREA)
        return pixels

    def _fixed(self, points: NDArray[np.float64] | Sequence[tuple[float, float]]) -> NDArray[np.int32]:
        scaled = np.asarray(points, np.float64) * (self.scale << _FRACTION_BITS)
        return np.round(scaled).astype(np.int32).reshape(-1, 1, 2)
