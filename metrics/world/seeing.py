"""What is seen in a clip, from its pixels alone: impacts, mouths, and who or what is there.

Shape legend: F frames, H W rows and columns, P prototypes.
"""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.signal import find_peaks

from data.world.cast import BACKGROUNDS, MOUTH, SPEAKERS, Thing
from data.world.scene import SceneFrames, rest_picture
from data.world.stage import AMBIENT_STAGE, COMPLEX_STAGE
from harmony_lit.containers import Clip
from metrics.world.hearing import things

_SMALL = 32  # pixels per side in which looks are compared
_MOUTH_REACH = 70.0  # distance in RGB at which a colour is no mouth's any more
_LEAST_STAR = 0.02  # of the picture
_LEAST_SHARE = 0.35  # of the clip's largest star
_SHORTEST_GAP_FRAMES = 6
Array = NDArray[np.float64]


def visual_events(clip: Clip) -> Array:
    """Times in seconds at which a star bursts: where its yellow grows through half of its peak."""
    stars = np.concatenate([[0.0], _star_area(clip), [0.0]])
    least = max(_LEAST_STAR, _LEAST_SHARE * float(stars.max()))
    peaks = find_peaks(stars, height=least, prominence=least, distance=_SHORTEST_GAP_FRAMES)[0]
    times_s = []
    for peak in peaks:
        floor = stars[max(0, peak - 4) : peak].min()
        half = floor + 0.5 * (stars[peak] - floor)
        below = peak - 1
        while stars[below] > half:
            below -= 1
        crossing = below + (half - stars[below]) / (stars[below + 1] - stars[below])
        # Frame f sits at index f + 1 here. A star that is there at once crosses half a frame before its first frame,
        # and its impact lies, on average, in the middle of that frame.
        times_s.append(crossing / clip.fps)
    return np.array(times_s)


def mouth_opening(clip: Clip) -> Array:
    """Crimson inside of a mouth in each frame, as the square root of its share of the picture: (F,)."""
    pixels = clip.video.numpy()
    distance = np.zeros(pixels[:, 0].shape, np.float32)
    for channel, value in enumerate(MOUTH):
        distance += np.square(pixels[:, channel] - np.float32(value))
    membership = np.maximum(0, 1 - distance / np.float32(_MOUTH_REACH**2))
    return np.sqrt(membership.mean((1, 2), dtype=np.float64))


def motion_energy(clip: Clip) -> Array:
    """Mean absolute change since the frame before, in [0, 1]: (F,), 0 in the first."""
    pixels = clip.video.numpy().astype(np.int16)
    return np.concatenate([[0.0], np.abs(np.diff(pixels, axis=0)).mean((1, 2, 3)) / 255])


def seen_attributes(clip: Clip, category: str) -> dict[str, str]:
    """What is seen in a clip of ``category``: ``material``, ``shape`` and ``size``, ``speaker``, or all four.

    The median picture, in which whatever moves is gone, is compared with all that the world can show.
    """
    frames = clip.video.permute(0, 2, 3, 1).numpy()
    median = np.median(frames[:: max(1, len(frames) // 24)], axis=0).astype(np.uint8)
    picture = cv2.resize(median, (_SMALL, _SMALL), interpolation=cv2.INTER_AREA).astype(np.float32)
    seen: dict[str, str] = {}
    if category != "speech":
        thing = things()[_nearest(picture, _stage_prototypes(category), _right_half(category)) // len(BACKGROUNDS)]
        seen |= {"material": thing.material, "shape": thing.shape, "size": thing.size}
    if category != "ambient":
        left = np.s_[:, : _SMALL // 2] if category == "complex" else np.s_[:, :]
        seen["speaker"] = list(SPEAKERS)[_nearest(picture, _face_prototypes(category), left) // len(BACKGROUNDS)]
    return seen


def _star_area(clip: Clip) -> Array:
    """Share of each frame that is yellower than it mostly is: (F,). A faded star counts for less, but counts."""
    pixels = clip.video.numpy().astype(np.int16)
    yellow = np.minimum(pixels[:, 0], pixels[:, 1]) - pixels[:, 2]
    usual = np.median(yellow[:: max(1, len(yellow) // 24)], axis=0).astype(np.int16)
    return (np.clip(yellow - usual - 25, 0, 100) / 100).mean((1, 2))


def _right_half(category: str) -> tuple[slice, slice]:
    return np.s_[:, _SMALL // 2 :] if category == "complex" else np.s_[:, :]


def _nearest(picture: NDArray[np.float32], prototypes: NDArray[np.float32], window: tuple[slice, slice]) -> int:
    """Which of ``prototypes`` (P, 32, 32, 3) is nearest to ``picture`` (32, 32, 3) inside ``window``."""
    difference = prototypes[:, window[0], window[1]] - picture[window]
    return int((difference**2).sum((1, 2, 3)).argmin())


@cache
def _stage_prototypes(category: str) -> NDArray[np.float32]:
    stage = AMBIENT_STAGE if category == "ambient" else COMPLEX_STAGE

    def show(thing: Thing, background: str) -> SceneFrames:
        return SceneFrames(background, thing=thing, stage=stage)

    return _rest_pictures([show(thing, background) for thing in things() for background in BACKGROUNDS])


@cache
def _face_prototypes(category: str) -> NDArray[np.float32]:
    alone = category == "speech"
    return _rest_pictures(
        [SceneFrames(background, speaker=name, alone=alone) for name in SPEAKERS for background in BACKGROUNDS]
    )


def _rest_pictures(scenes: list[SceneFrames]) -> NDArray[np.float32]:
    return np.stack([rest_picture(scene, _SMALL) for scene in scenes]).astype(np.float32)
