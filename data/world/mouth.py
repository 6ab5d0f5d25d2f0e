"""How far a mouth is open in each frame: by the class of the phoneme, blended with the loudness of the speech."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from data.world.speech import Utterance

_STEP_HZ = 200
_SMOOTHING_S = 0.02  # standard deviation; about 40 ms wide
_CLOSE_VOWELS = {"i:", "u:", "I", "@", "U"}
_SONORANTS = {"r", "w", "n", "l", "j", "N"}
_LIPS = {"m", "b", "p"}


def phoneme_opening(name: str) -> float:
    """Opening in [0, 1] of espeak-ng's phoneme ``name``."""
    if name in _LIPS:
        return 0.0
    if name in _SONORANTS:
        return 0.3
    if name in _CLOSE_VOWELS:
        return 0.65
    is_vowel = name[:1] in "aeiouAEIOUV03@"
    return 1.0 if is_vowel else 0.15


def mouth_curve(
    utterance: Utterance, start_s: float, frames: int, fps: float, sample_rate_hz: int
) -> NDArray[np.float64]:
    """Opening in [0, 1] in the middle of each frame, for ``utterance`` that starts at ``start_s``: (frames,)."""
    steps = round(frames / fps * _STEP_HZ) + 1
    opening = np.zeros(steps)
    for phoneme in utterance.phonemes:
        opening[_step(phoneme.start_s + start_s) : _step(phoneme.end_s + start_s)] = phoneme_opening(phoneme.name)
    hop = sample_rate_hz // _STEP_HZ
    whole = len(utterance.audio) // hop
    loudness = np.sqrt((utterance.audio[: whole * hop].reshape(whole, hop) ** 2).mean(1))
    envelope = np.zeros(steps)
    first = _step(start_s)
    part = loudness[: steps - first]
    envelope[first : first + len(part)] = part
    envelope = gaussian_filter1d(envelope, _SMOOTHING_S * _STEP_HZ)
    envelope = np.minimum(1.0, envelope / np.percentile(loudness, 85))
    curve = gaussian_filter1d(opening, _SMOOTHING_S * _STEP_HZ) * (0.25 + 0.75 * envelope)
    middles_s = (np.arange(frames) + 0.5) / fps
    return np.interp(middles_s, np.arange(steps) / _STEP_HZ, np.clip(curve, 0, 1))


def _step(time_s: float) -> int:
    return round(time_s * _STEP_HZ)
