"""The world's metrics as pure functions of a clip (or of what was detected in it).

Shape legend: F frames, V visual events, A audible events.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import gaussian_filter1d

from harmony_lit.containers import Clip
from metrics.world.hearing import HOPS_PER_S, audible_events, heard_attributes, mel_magnitudes, speech_envelope
from metrics.world.seeing import motion_energy, mouth_opening, seen_attributes, visual_events

TOLERANCE_S = 0.08
LONGEST_LAG_S = 0.4
_HALF_STEP = 2  # loudness changes over twice as many hops
_SMOOTHING_S = 0.03
SEEN = ("material", "shape", "size", "speaker")
HEARD = ("material", "size", "speaker")


def count_matches(first_s: ArrayLike, second_s: ArrayLike, tolerance_s: float = TOLERANCE_S) -> int:
    """How many pairs of events lie within ``tolerance_s``, each event in at most one pair, as many as possible.

    In sorted order, pairing each event with the earliest partner left is the best there is on a line.
    """
    first, second = np.sort(np.asarray(first_s, float)), np.sort(np.asarray(second_s, float))
    i = j = matches = 0
    while i < len(first) and j < len(second):
        if abs(first[i] - second[j]) <= tolerance_s:
            matches, i, j = matches + 1, i + 1, j + 1
        elif first[i] < second[j]:
            i += 1
        else:
            j += 1
    return matches


def f1(matches: int, first: int, second: int) -> float:
    """F1 = 2 matches / (first + second); 0 where neither has an event, or else silence would be perfect."""
    return 2 * matches / (first + second) if first + second else 0.0


def event_f1(clip: Clip, tolerance_s: float = TOLERANCE_S) -> float:
    """How well what is seen to strike and what is heard to strike agree in time, in [0, 1]."""
    seen, heard = visual_events(clip), audible_events(clip)
    return f1(count_matches(seen, heard, tolerance_s), len(seen), len(heard))


def lag_s(clip: Clip) -> float:
    """Seconds by which the sound comes after the picture (negative: before) where the two agree best.

    It is the offset in +-``LONGEST_LAG_S`` of the highest cross-correlation of the motion energy with how fast the
    loudness changes (a blow begins and a mouth moves where it does), both at 100 Hz.
    """
    loudness = np.sqrt(np.linalg.norm(mel_magnitudes(clip.audio.numpy(), clip.sample_rate_hz), axis=1))
    change = np.abs(loudness[2 * _HALF_STEP :] - loudness[: -2 * _HALF_STEP])
    change_times_s = (np.arange(len(change)) + _HALF_STEP) / HOPS_PER_S
    motion = motion_energy(clip)
    motion_times_s = np.arange(len(motion)) / clip.fps  # a change lies between two frames' middles
    grid = np.arange(0, clip.duration_s, 1 / HOPS_PER_S)
    heard = _standardise(gaussian_filter1d(np.interp(grid, change_times_s, change), _SMOOTHING_S * HOPS_PER_S))
    seen = _standardise(np.interp(grid, motion_times_s, motion))
    reach = round(LONGEST_LAG_S * HOPS_PER_S)
    correlation = np.correlate(np.pad(heard, reach), seen, mode="valid")
    return float(int(correlation.argmax()) - reach) / HOPS_PER_S


def lip_corr(clip: Clip) -> float:
    """Pearson correlation of the mouth's opening with the loudness of the speech; 0 where either is constant."""
    return pearson(mouth_opening(clip), speech_envelope(clip))


def pearson(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Pearson's correlation; 0 where either is constant."""
    return float((_standardise(first) * _standardise(second)).mean())


def caption_hits(clip: Clip, category: str, wanted: Mapping[str, Any]) -> tuple[int, int]:
    """How many of the attributes in ``wanted`` are seen and heard, and how many there are to see and hear.

    Material, shape, size and speaker should be seen; material, size and speaker should be heard.
    """
    seen, heard = seen_attributes(clip, category), heard_attributes(clip, category)
    outcomes = [seen.get(name) == wanted[name] for name in SEEN if name in wanted]
    outcomes += [heard.get(name) == wanted[name] for name in HEARD if name in wanted]
    return sum(outcomes), len(outcomes)


def _standardise(values: NDArray[np.float64]) -> NDArray[np.float64]:
    centred = values - values.mean()
    spread = centred.std()
    return centred / spread if spread > 1e-9 else np.zeros_like(centred)
