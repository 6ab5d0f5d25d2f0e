"""Drawing of the speakers: large cute faces whose mouths open."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from data.world.canvas import Canvas
from data.world.cast import INK, MOUTH, SPEAKERS, Colour

_WHITE: Colour = (255, 255, 255)
_CHEEK: Colour = (244, 132, 140)


@dataclass(frozen=True)
class FaceLayout:
    """Where a face is: middle (``x``, ``y``) and ``radius`` of the head, in picture units."""

    x: float
    y: float
    radius: float


SPEECH_FACE = FaceLayout(x=0.5, y=0.52, radius=0.36)
COMPLEX_FACE = FaceLayout(x=0.255, y=0.5, radius=0.215)


class FaceArtist:
    """Draws one speaker.

    Args:
        speaker: A name in ``cast.SPEAKERS``.
        layout: Where the face is.
    """

    def __init__(self, speaker: str, layout: FaceLayout) -> None:
        self.name = speaker
        self.speaker = SPEAKERS[speaker]
        self.layout = layout

    def draw_still(self, canvas: Canvas, blink: bool = False) -> None:
        """Everything but the mouth."""
        self._draw_behind(canvas)
        if self.name == "robot":
            self._box(canvas, 0.0, 0.0, 0.92, 0.92, self.speaker.hair)
            self._box(canvas, 0.0, 0.0, 0.86, 0.86, self.speaker.skin)
        else:
            self._dot(canvas, 0.0, 0.0, 0.94, 1.0, self.speaker.skin)
        self._draw_cheeks(canvas)
        self._draw_before(canvas)
        for side in (-1, 1):
            self._draw_eye(canvas, side, blink)

    def draw_mouth(self, canvas: Canvas, opening: float) -> None:
        """The mouth, ``opening`` in [0, 1]: a smile when closed, a quarter of the picture's height when wide open."""
        radius, x, y = self.layout.radius, self.layout.x, self.layout.y + 0.44 * self.layout.radius
        if opening < 0.08:
            bend = np.linspace(0.15 * np.pi, 0.85 * np.pi, 9)
            points = np.stack(
                [x + 0.34 * radius * np.cos(bend), y - 0.1 * radius + 0.2 * radius * np.sin(bend)], axis=1
            )
            canvas.outline(points, INK, 0.085 * radius, closed=False)
            return
        canvas.ellipse(x, y, radius * (0.36 + 0.06 * opening), radius * (0.05 + 0.33 * opening), MOUTH)

    def _draw_behind(self, canvas: Canvas) -> None:
        hair, shirt = self.speaker.hair, self.speaker.shirt
        self._dot(canvas, 0.0, 1.75, 1.15, 0.95, shirt)
        if self.name == "woman":
            self._dot(canvas, 0.0, -0.12, 1.2, 1.12, hair)
            self._box(canvas, 0.0, 0.55, 1.2, 0.75, hair)
        elif self.name == "girl":
            for side in (-1, 1):
                self._dot(canvas, side * 1.12, -0.28, 0.32, 0.42, hair)
            self._dot(canvas, 0.0, -0.16, 1.04, 1.0, hair)
        elif self.name == "robot":
            self._box(canvas, 0.0, -1.1, 0.06, 0.3, hair)
            self._dot(canvas, 0.0, -1.28, 0.17, 0.17, (255, 92, 92))
            self._box(canvas, 0.0, -0.05, 1.08, 0.24, hair)
        else:
            for side in (-1, 1):
                self._dot(canvas, side * 0.94, 0.05, 0.17, 0.2, self.speaker.skin)

    def _draw_before(self, canvas: Canvas) -> None:
        hair, radius = self.speaker.hair, self.layout.radius
        arc = np.linspace(np.pi, 2 * np.pi, 20)
        if self.name == "man":
            cap = np.stack([0.98 * np.cos(arc), -0.36 + 0.72 * np.sin(arc)], axis=1)
            canvas.polygon(cap * radius + (self.layout.x, self.layout.y), hair)
            self._box(canvas, 0.32, -0.4, 0.86, 0.09, (24, 60, 150))
        elif self.name in ("woman", "girl"):
            lift = 0.5 if self.name == "woman" else 0.42
            over = np.stack([0.95 * np.cos(arc), -lift + 0.58 * np.sin(arc)], axis=1)
            canvas.polygon(over * radius + (self.layout.x, self.layout.y), hair)
            if self.name == "girl":
                for x in (-0.45, 0.0, 0.45):
                    self._dot(canvas, x, -lift, 0.26, 0.16, hair)

    def _draw_cheeks(self, canvas: Canvas) -> None:
        if self.name == "robot":
            return
        for side in (-1, 1):
            self._dot(canvas, side * 0.62, 0.26, 0.17, 0.12, _CHEEK)

    def _draw_eye(self, canvas: Canvas, side: int, blink: bool) -> None:
        x, y = side * 0.4, -0.06
        if blink:
            self._box(canvas, x, y, 0.19, 0.045, INK)
            return
        self._dot(canvas, x, y, 0.21, 0.25, _WHITE)
        self._dot(canvas, x, y + 0.02, 0.15, 0.19, INK)
        self._dot(canvas, x + 0.06, y - 0.06, 0.06, 0.06, _WHITE)

    def _dot(self, canvas: Canvas, x: float, y: float, radius_x: float, radius_y: float, colour: Colour) -> None:
        """An ellipse in units of the head's radius, from its middle."""
        at, radius = self.layout, self.layout.radius
        canvas.ellipse(at.x + x * radius, at.y + y * radius, radius_x * radius, radius_y * radius, colour)

    def _box(self, canvas: Canvas, x: float, y: float, half_width: float, half_height: float, colour: Colour) -> None:
        """A rectangle in units of the head's radius, from its middle."""
        corners = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) * (half_width, half_height) + (x, y)
        canvas.polygon(corners * self.layout.radius + (self.layout.x, self.layout.y), colour)
