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
    artist = _artist(scene)
    bases = {blink: _draw_base(scene, config.size, artist, blink) for blink in (False, True)}
    video = np.empty((config.frames, config.size, config.size, 3), np.uint8)
    impact_frames = _impact_frames(scene, config)
    for frame in range(config.frames):
        blink = bool(scene.blinks[frame]) if scene.blinks is not None else False
        canvas = bases[blink].copy()
        if artist is not None and scene.mouth is not None:
            artist.draw_mouth(canvas, float(scene.mouth[frame]))
        if scene.thing is not None and scene.bounces is not None:
            past = [frame - impact for impact in impact_frames if impact <= frame]
            height = scene.bounces.height((frame + 0.5) / config.fps)
            _draw_stage(canvas, scene.thing, scene.stage, past[-1] if past else None, height)
        video[frame] = canvas.picture()
    return np.ascontiguousarray(video.transpose(0, 3, 1, 2))


def rest_picture(scene: SceneFrames, size: int) -> NDArray[np.uint8]:
    """(size, size, 3) uint8: the scene with nothing happening, the mouth closed and no ball."""
    artist = _artist(scene)
    canvas = _draw_base(scene, size, artist, blink=False)
    if artist is not None:
        artist.draw_mouth(canvas, 0.0)
    if scene.thing is not None:
        draw_target(canvas, scene.thing, scene.stage)
    return canvas.picture()


def _artist(scene: SceneFrames) -> FaceArtist | None:
    if scene.speaker is None:
        return None
    return FaceArtist(scene.speaker, SPEECH_FACE if scene.alone else COMPLEX_FACE)


def _draw_base(scene: SceneFrames, size: int, artist: FaceArtist | None, blink: bool) -> Canvas:
    canvas = Canvas(size)
    top, bottom = BACKGROUNDS[scene.background]
    canvas.gradient(top, bottom)
    if scene.thing is not None:
        draw_shadow(canvas, scene.thing, scene.stage, (bottom[0] - 34, bottom[1] - 34, bottom[2] - 34))
    if artist is not None:
        artist.draw_still(canvas, blink)
    return canvas


def _impact_frames(scene: SceneFrames, config: WorldConfig) -> list[int]:
    if scene.bounces is None:
        return []
    return [int(time_s * config.fps) for time_s in scene.bounces.within(config.duration_s)]


def _draw_stage(canvas: Canvas, thing: Thing, stage: StageLayout, since_impact: int | None, height: float) -> None:
    squash = 1.0
    if since_impact is not None and since_impact < len(STAR_FRAMES):
        draw_star(canvas, thing, stage, since_impact)
    if since_impact is not None and since_impact < len(SQUASH_FRAMES):
        squash = SQUASH_FRAMES[since_impact]
    draw_target(canvas, thing, stage, squash)
    if since_impact == 0:
        draw_ball(canvas, thing, stage, 0.0, squash)
    else:
        draw_ball(canvas, thing, stage, height)
