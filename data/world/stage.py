"""Drawing of the ambient half of the world: a target with a face, a bouncing ball, and the star of an impact."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from data.world.canvas import Canvas
from data.world.cast import BALL, INK, MATERIALS, STAR, STAR_CORE, Colour, Thing

# Size of the star in each frame from the impact on, and how the target is squeezed meanwhile.
STAR_FRAMES = (1.0, 0.93, 0.8, 0.6)
SQUASH_FRAMES = (0.72, 0.8, 0.92)


@dataclass(frozen=True)
class StageLayout:
    """Where the ambient half stands, in picture units.

    Attributes:
        x: Middle of target and ball.
        ground: Where the target stands.
        scale: Size of everything; 1 fills the picture.
        star: Radius of a new star.
        gravity: Picture heights per second squared.
        gap_s: Shortest and longest time between impacts.
    """

    x: float
    ground: float
    scale: float
    star: float
    gravity: float
    gap_s: tuple[float, float]


AMBIENT_STAGE = StageLayout(x=0.5, ground=0.95, scale=1.0, star=0.42, gravity=3.0, gap_s=(0.5, 1.2))
COMPLEX_STAGE = StageLayout(x=0.745, ground=0.95, scale=0.69, star=0.28, gravity=3.2, gap_s=(0.6, 1.2))


@lru_cache(maxsize=8)
def _silhouette(shape: str) -> NDArray[np.float64]:
    """Outline in a box of x in [-0.5, 0.5] and y in [0, 1], with y up."""
    turn = np.linspace(0, 1, 24)
    if shape == "block":
        corner, arc = 0.14, np.linspace(0, np.pi / 2, 8)
        quarters = []
        for k, (x, y) in enumerate(((0.5, 1.0), (-0.5, 1.0), (-0.5, 0.0), (0.5, 0.0))):
            angle = arc + k * np.pi / 2
            middle = np.array([x - np.sign(x) * corner, y - np.sign(y - 0.5) * corner])
            quarters.append(middle + corner * np.stack([np.cos(angle), np.sin(angle)], axis=1))
        return np.concatenate(quarters)
    if shape == "bowl":
        angle = np.pi * turn
        round_side = np.stack([-0.5 * np.cos(angle), 0.86 * (1 - np.sin(angle))], axis=1)
        return np.concatenate([[(-0.5, 1.0)], round_side, [(0.5, 1.0)]])
    side = np.array([(0.5, 0.0), (0.5, 0.1), (0.4, 0.2), (0.35, 0.42), (0.33, 0.66)])
    dome = np.stack([0.33 * np.cos(np.pi * turn), 0.66 + 0.34 * np.sin(np.pi * turn)], axis=1)
    return np.concatenate([side, dome, side[::-1] * (-1, 1)])


def target_size(thing: Thing, layout: StageLayout) -> tuple[float, float]:
    """Width and height of ``thing`` at rest."""
    width, height = (0.66, 0.43) if thing.size == "large" else (0.42, 0.3)
    return width * layout.scale, height * layout.scale


def ball_radius(layout: StageLayout) -> float:
    """Radius of the ball."""
    return 0.085 * layout.scale


def draw_target(canvas: Canvas, thing: Thing, layout: StageLayout, squash: float = 1.0) -> None:
    """Draws ``thing``; ``squash`` below 1 makes it lower and wider, and squeezes its eyes."""
    material = MATERIALS[thing.material]
    width, height = target_size(thing, layout)
    width, height = width * (2 - squash) ** 0.6, height * squash
    origin, step = np.array([layout.x, layout.ground]), np.array([width, -height])
    body = origin + step * _silhouette(thing.shape)
    canvas.polygon(body, material.body)
    _draw_surface(canvas, thing, origin, step, material.shine, material.shade)
    canvas.outline(body, material.shade, 0.022 * layout.scale + 0.004)
    _draw_target_face(canvas, thing, layout, origin, step, squeezed=squash < 0.9)


def _draw_surface(
    canvas: Canvas, thing: Thing, origin: NDArray[np.float64], step: NDArray[np.float64], shine: Colour, shade: Colour
) -> None:
    """What tells the material beside its colour: grain, a streak of light, a glint, dots."""
    low, high = (0.1, 0.24) if thing.shape == "bell" else (0.68, 0.88)
    line = abs(step[0]) * 0.05
    if thing.material == "wood":
        for y in (low, high):
            canvas.outline(origin + step * np.array([(-0.3, y), (0.3, y)]), shade, line * 0.6, closed=False)
    elif thing.material == "metal":
        canvas.polygon(origin + step * np.array([(-0.36, low), (-0.16, high), (-0.02, high), (-0.22, low)]), shine)
    elif thing.material == "glass":
        canvas.outline(origin + step * np.array([(-0.34, high), (-0.08, high)]), shine, line * 1.6, closed=False)
        canvas.outline(origin + step * np.array([(-0.34, high), (-0.34, low)]), shine, line * 1.6, closed=False)
    else:
        for x in (-0.3, 0.0, 0.3):
            x_here, y_here = origin + step * (x, (low + high) / 2)
            canvas.ellipse(x_here, y_here, line, line, shine)


def _draw_target_face(
    canvas: Canvas,
    thing: Thing,
    layout: StageLayout,
    origin: NDArray[np.float64],
    step: NDArray[np.float64],
    squeezed: bool,
) -> None:
    middle = 0.5
    unit = 0.5 * (abs(step[1]) + 0.6 * abs(step[0]))
    apart = 0.2 * abs(step[0]) if thing.shape != "bell" else 0.14 * abs(step[0])
    eye = 0.085 * unit + 0.006
    for side in (-1, 1):
        x, y = origin[0] + side * apart, origin[1] + step[1] * middle
        if squeezed:
            reach = eye * 1.5
            points = [(x + side * reach, y - reach), (x - side * reach * 0.6, y), (x + side * reach, y + reach)]
            canvas.outline(points, INK, eye * 0.8, closed=False)
        else:
            canvas.ellipse(x, y, eye * 1.1, eye * 1.4, INK)
            canvas.ellipse(x + eye * 0.35, y - eye * 0.5, eye * 0.45, eye * 0.45, (255, 255, 255))
    x, y = origin[0], origin[1] + step[1] * (middle - 0.16)
    bend = np.linspace(0.15 * np.pi, 0.85 * np.pi, 9)
    smile = np.stack([x + 0.6 * apart * np.cos(bend), y + 0.4 * apart * np.sin(bend)], axis=1)
    canvas.outline(smile, INK, eye * 0.7, closed=False)


def draw_star(canvas: Canvas, thing: Thing, layout: StageLayout, frame: int) -> None:
    """Draws the star of an impact ``frame`` frames ago, behind what is drawn later."""
    radius = layout.star * STAR_FRAMES[frame]
    x, y = layout.x, layout.ground - target_size(thing, layout)[1]
    y = max(y, layout.star * 0.9)
    for size, colour in ((1.0, STAR), (0.62, STAR_CORE)):
        canvas.polygon(_star_points() * radius * size + (x, y), colour)


@lru_cache(maxsize=1)
def _star_points() -> NDArray[np.float64]:
    angle = np.linspace(0, 2 * np.pi, 20, endpoint=False) - np.pi / 2
    reach = np.where(np.arange(20) % 2 == 0, 1.0, 0.66)
    return np.stack([reach * np.cos(angle), reach * np.sin(angle)], axis=1)


def draw_ball(canvas: Canvas, thing: Thing, layout: StageLayout, height: float, squash: float = 1.0) -> None:
    """Draws the ball with its lowest point ``height`` above the target's top."""
    radius = ball_radius(layout)
    top = layout.ground - target_size(thing, layout)[1] * squash
    x, y = layout.x, top - height - radius * squash
    canvas.ellipse(x, y, radius * (2 - squash), radius * squash, BALL)
    canvas.ellipse(x - 0.35 * radius, y - 0.35 * radius, 0.3 * radius, 0.3 * radius, (214, 186, 255))


def draw_shadow(canvas: Canvas, thing: Thing, layout: StageLayout, colour: Colour) -> None:
    """Grounds the target."""
    width, _ = target_size(thing, layout)
    canvas.ellipse(layout.x, layout.ground, 0.62 * width, 0.045 * layout.scale, colour)
