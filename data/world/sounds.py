"""Modal synthesis of strikes: x(t) = sum_k a_k exp(-6.9 t / T_k) sin(2 pi f_k t), with a short burst of noise.

The material decides partials, decay and noise; the size the pitch (an octave apart); the shape adds a partial.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from data.world.cast import MATERIALS, Thing

PEAK = 0.75
STRIKE_S = 0.6
# Ratio and level of the partial that a shape adds, and how its decay compares.
_SHAPES = {"block": (2.0, 0.0, 0.7), "bowl": (1.25, 0.7, 1.0), "bell": (1.5, 0.9, 1.0)}


@lru_cache(maxsize=64)
def strike_sound(thing: Thing, sample_rate_hz: int) -> NDArray[np.float32]:
    """One strike of ``thing``: (``STRIKE_S`` * rate,) float32 with peak ``PEAK``; the same every time."""
    material = MATERIALS[thing.material]
    extra_ratio, extra_level, decay_scale = _SHAPES[thing.shape]
    fundamental_hz = material.pitch_hz * (2 if thing.size == "small" else 1)
    t = np.arange(round(STRIKE_S * sample_rate_hz)) / sample_rate_hz
    ratios, levels = (*material.ratios, extra_ratio), (*material.levels, extra_level)
    sound = np.zeros_like(t)
    for ratio, level in zip(ratios, levels, strict=True):
        frequency_hz = fundamental_hz * ratio
        if level and frequency_hz < 0.45 * sample_rate_hz:
            decay_s = material.decay_s * decay_scale / ratio**0.3
            phase = 2 * np.pi * frequency_hz * t
            if thing.material == "rubber":  # a thump starts sharp and falls
                phase += 2 * np.pi * frequency_hz * 0.8 * 0.03 * (1 - np.exp(-t / 0.03))
            sound += level * np.exp(-6.9 * t / decay_s) * np.sin(phase)
    noise = np.random.default_rng(sum(map(ord, thing.name))).standard_normal(len(t)) * np.exp(-t / 0.004)
    if thing.material == "rubber":
        noise = np.convolve(noise, np.ones(6) / 2.5, mode="same")
    sound = sound / np.abs(sound).max() + 0.5 * material.noise * noise
    ramp = round(0.001 * sample_rate_hz)
    sound[:ramp] *= np.linspace(0, 1, ramp)
    sound[-ramp * 10 :] *= np.linspace(1, 0, ramp * 10)
    return (PEAK * sound / np.abs(sound).max()).astype(np.float32)


def add_at(track: NDArray[np.float32], sound: NDArray[np.float32], time_s: float, sample_rate_hz: int) -> None:
    """Mixes ``sound`` into ``track`` in place, from ``time_s`` on; what passes the end is cut."""
    start = round(time_s * sample_rate_hz)
    part = sound[: max(0, len(track) - start)]
    track[start : start + len(part)] += part


def strike_track(thing: Thing, times_s: NDArray[np.float64], samples: int, sample_rate_hz: int) -> NDArray[np.float32]:
    """(samples,) float32 in which ``thing`` is struck at each of ``times_s``."""
    track = np.zeros(samples, np.float32)
    for time_s in times_s:
        add_at(track, strike_sound(thing, sample_rate_hz), float(time_s), sample_rate_hz)
    return track
