"""Kaldi's log mel filter bank, as ``torchaudio.compliance.kaldi.fbank`` computes it for ImageBind, without torchaudio.

Shape legend: S samples, T frames, M mel bands.
"""

from __future__ import annotations

import math
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional

_WINDOW, _HOP, _FFT = 400, 160, 512
_PREEMPHASIS = 0.97
_LOWEST_HZ = 20.0
_EPSILON = torch.finfo(torch.float32).eps


def log_mel_bank(samples: Tensor, bands: int, sample_rate_hz: int = 16_000) -> Tensor:
    """(S,) -> (T, M) with T = 1 + (S - 400) // 160.

    Per frame of 25 ms: mean off, pre-emphasis .97, symmetric Hann window, power of 512 bins, triangles on the mel scale
    from 20 Hz to half the rate, natural log. Nothing is padded and no dither added.
    """
    frames = samples.float().unfold(0, _WINDOW, _HOP)
    frames = frames - frames.mean(dim=1, keepdim=True)
    before = torch.cat([frames[:, :1], frames[:, :-1]], dim=1)
    window = torch.hann_window(_WINDOW, periodic=False, device=samples.device)
    emphasised = (frames - _PREEMPHASIS * before) * window
    power = torch.fft.rfft(functional.pad(emphasised, (0, _FFT - _WINDOW))).abs().square()
    return (power @ _triangles(bands, sample_rate_hz).to(power)).clamp_min(_EPSILON).log()


def _mel(hz: float) -> float:
    return 1127.0 * math.log1p(hz / 700.0)


@cache
def _triangles(bands: int, sample_rate_hz: int) -> Tensor:
    """(257, M); unlike librosa's, their sides are straight on the mel scale."""
    edges = torch.linspace(_mel(_LOWEST_HZ), _mel(sample_rate_hz / 2), bands + 2, dtype=torch.float64)
    hz = torch.arange(_FFT // 2 + 1, dtype=torch.float64) * sample_rate_hz / _FFT
    mels = (1127.0 * torch.log1p(hz / 700.0))[:, None]
    rising = (mels - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - mels) / (edges[2:] - edges[1:-1])
    return torch.minimum(rising, falling).clamp_min(0).float()
