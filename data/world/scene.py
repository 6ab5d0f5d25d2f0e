"""A scene of the world, frame by frame, from what happens in it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data.world.canvas import Canvas
from data.world.cast import BACKGROUNDS, Thing
from data.world.config import WorldConfig
from data.world.face import COMPLEX_FACE, SPEECH_FACE, FaceArtist
from data.world.physics import Bounces
from data.world.stage import (
    AMBIENT_STAGE,
    SQUASH_FRAMES,
    STAR_FRAMES,
    StageLayout,
    draw_ball,
    draw_shadow,
    draw_star,
    draw_target,
)


@dataclass
class SceneFrames:
    """What a scene shows; whoever is None is not there.

    Attributes:
        background: A name in ``cast.BACKGROUNDS``.
        thing: What the ball bounces on.
        stage: Where that is.
        bounces: When it does so.
        speaker: Who talks.
        alone: Whether the speaker has the picture for themselves.
        mouth: (frames,) opening in [0, 1].
        blinks: (frames,) whether the eyes are closed.
    """

    background: str
    thing: Thing | None = None
    stage: StageLayout = AMBIENT_STAGE
    bounces: Bounces | None = None
    speaker: str | None = None
    alone: bool = True
    mouth: NDArray[np.float64] | None = None
    blinks: NDArray[np.bool_] | None = None


def render_scene(scene: SceneFrames, config: WorldConfig) -> NDArray[np.uint8]:
    """(frames, 3, size, size) uint8, RGB. A frame shows the moment in its middle."""
    painter = _Painter(scene, config.size)
    impact_frames = _impact_frames(scene, config)
    video = np.empty((config.frames, config.size, config.size, 3), np.uint8)
    for frame in range(config.frames):
        past = [frame - impact for impact in impact_frames if impact <= frame]
        since_impact = past[-1] if past and past[-1] < len(STAR_FRAMES) else None
        blink = scene.blinks is not None and bool(scene.blinks[frame])
        opening = float(scene.mouth[frame]) if scene.mouth is not None else 0.0
        height = scene.bounces.height((frame + 0.5) / config.fps) if scene.bounces is not None else None
        video[frame] = painter.picture(blink, opening, since_impact, height)
    return np.ascontiguousarray(video.transpose(0, 3, 1, 2))


def rest_picture(scene: SceneFrames, size: int) -> NDArray[np.uint8]:
    """(size, size, 3) uint8: the scene with nothing happening, the mouth closed and no ball."""
    return _Painter(scene, size).picture(blink=False, opening=0.0, since_impact=None, height=None)


class _Painter:
    """Paints the moments of one scene; what they have in common is drawn once."""

    def __init__(self, scene: SceneFrames, size: int) -> None:
        self.scene = scene
        self.size = size
        self.artist = None
        if scene.speaker is not None:
            self.artist = FaceArtist(scene.speaker, SPEECH_FACE if scene.alone else COMPLEX_FACE)
        self._backdrops: dict[tuple[bool, bool], Canvas] = {}

    def picture(self, blink: bool, opening: float, since_impact: int | None, height: float | None) -> NDArray[np.uint8]:
        """(size, size, 3) uint8.

        Args:
            blink: Whether the speaker's eyes are closed.
            opening: Of the speaker's mouth, in [0, 1].
            since_impact: Frames since an impact whose star still shows.
            height: Of the ball above the target; None for no ball.
        """
        canvas = self._backdrop(blink, at_rest=since_impact is None).copy()
        if self.artist is not None:
            self.artist.draw_mouth(canvas, opening)
        thing, stage = self.scene.thing, self.scene.stage
        if thing is None:
            return canvas.picture()
        squash = 1.0
        if since_impact is not None:
            squash = SQUASH_FRAMES[since_impact] if since_impact < len(SQUASH_FRAMES) else 1.0
            draw_star(canvas, thing, stage, since_impact)
            draw_target(canvas, thing, stage, squash)
        if since_impact == 0:
            draw_ball(canvas, thing, stage, 0.0, squash)
        elif height is not None:
            draw_ball(canvas, thing, stage, height)
        return canvas.picture()

    def _backdrop(self, blink: bool, at_rest: bool) -> Canvas:
        """Background and face, and the target ``at_rest``."""
        if (blink, at_rest) not in self._backdrops:
            canvas = Canvas(self.size)
            top, bottom = BACKGROUNDS[self.scene.background]
            canvas.gradient(top, bottom)
            if self.scene.thing is not None:
                shadow = (bottom[0] - 34, bottom[1] - 34, bottom[2] - 34)
                draw_shadow(canvas, self.scene.thing, self.scene.stage, shadow)
            if self.artist is not None:
                self.artist.draw_still(canvas, blink)
            if self.scene.thing is not None and at_rest:
                draw_target(canvas, self.scene.thing, self.scene.stage)
            self._backdrops[blink, at_rest] = canvas
        return self._backdrops[blink, at_rest]


def _impact_frames(scene: SceneFrames, config: WorldConfig) -> list[int]:
    if scene.bounces is None:
        return []
    return [int(time_s * config.fps) for time_s in scene.bounces.within(config.duration_s)]
