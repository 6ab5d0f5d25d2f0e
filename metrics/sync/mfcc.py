"""The cepstra that SyncNet hears: 13 of them every 10 ms, as ``python_speech_features`` computes them by default.

Frames of 25 ms without a window after pre-emphasis, power spectrum of 512 points, 26 triangles up to half the rate on
the mel scale of 2595 log10(1 + f / 700), natural logarithm, orthonormal DCT-II, sinusoidal lifter; the first
cepstrum is replaced by the logarithm of the frame's energy. Samples are whole numbers of 16 bits, not fractions of one.

Shape legend: S samples, T frames of 10 ms.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dct
from torch import Tensor

SAMPLE_RATE_HZ = 16_000
CEPSTRA = 13
HOP = 160
_FRAME = 400
_POINTS = 512
_BANDS = 26
_PRE_EMPHASIS = 0.97
_LIFTER = 22
_LEAST = float(np.finfo(np.float64).eps)  # stands for a band or a frame without any energy


def mfcc(samples: NDArray) -> NDArray[np.float64]:
    """Cepstra of 16 kHz sound.

    Args:
        samples: (S,) in the range of 16-bit integers, of any type.

    Returns:
        (13, T) with T = 1 + ceil((S - 400) / 160); the last frame is filled up with zeros.
    """
    x = np.asarray(samples, dtype=np.float64)
    x = np.concatenate([x[:1], x[1:] - _PRE_EMPHASIS * x[:-1]])
    frames = 1 + max(0, math.ceil((len(x) - _FRAME) / HOP))
    x = np.pad(x, (0, max(0, (frames - 1) * HOP + _FRAME - len(x))))
    framed = np.lib.stride_tricks.sliding_window_view(x, _FRAME)[::HOP][:frames]
    power = np.abs(np.fft.rfft(framed, _POINTS)) ** 2 / _POINTS
    energy = power.sum(axis=1)
    bands = power @ _triangles().T
    cepstra = dct(np.log(np.where(bands == 0, _LEAST, bands)), type=2, axis=1, norm="ortho")[:, :CEPSTRA]
    cepstra *= 1 + _LIFTER / 2 * np.sin(np.pi * np.arange(CEPSTRA) / _LIFTER)
    cepstra[:, 0] = np.log(np.where(energy == 0, _LEAST, energy))
    return np.ascontiguousarray(cepstra.T)


def whole_samples(audio: Tensor) -> NDArray[np.float64]:
    """(S,) in [-1, 1] -> (S,) rounded to what a 16-bit file holds; silence must be silence, not its rounding error."""
    return np.clip(np.round(audio.detach().cpu().double().numpy() * 32768), -32768, 32767)


@cache
def _triangles() -> NDArray[np.float64]:
    """(26, 257) weights of the power spectrum's points; corners lie on whole points."""
    top_mel = 2595 * math.log10(1 + SAMPLE_RATE_HZ / 2 / 700)
    corners_hz = 700 * (10 ** (np.linspace(0, top_mel, _BANDS + 2) / 2595) - 1)
    corners = np.floor((_POINTS + 1) * corners_hz / SAMPLE_RATE_HZ)
    point = np.arange(_POINTS // 2 + 1)
    weights = np.zeros((_BANDS, len(point)))
    for band, (low, middle, high) in enumerate(zip(corners, corners[1:], corners[2:], strict=False)):
        rising = (point >= low) & (point < middle)
        falling = (point >= middle) & (point < high)
        weights[band, rising] = (point[rising] - low) / (middle - low)
        weights[band, falling] = (high - point[falling]) / (high - middle)
    return weights
