"""Sound at the rate that a network was trained with.

Shape legend: S samples.
"""

from __future__ import annotations

import torch
from torch import Tensor


def at_rate(waveform: Tensor, sample_rate_hz: int, wanted_hz: int) -> Tensor:
    """``waveform`` (S,) at ``wanted_hz``, float32 on the CPU, band-limited by librosa's default resampler."""
    waveform = waveform.detach().cpu().float()
    if sample_rate_hz == wanted_hz or not waveform.numel():
        return waveform
    import librosa  # takes a second, and most sound has the right rate

    return torch.from_numpy(librosa.resample(waveform.numpy(), orig_sr=sample_rate_hz, target_sr=wanted_hz))
