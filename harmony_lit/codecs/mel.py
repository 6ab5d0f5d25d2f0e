"""MMAudio's log-mel front end.

Frame ``t`` is centred on sample ``(t + 1/2) * hop``: the sound is mirrored by (window - hop) / 2 samples at both ends,
so that S samples have S // hop frames. Numbers are those of MMAudio's ``mel_converter.py``, which follows
Make-An-Audio 2; ``diffusers.MMAudioVAE`` has the same at 44.1 kHz, but not the decadic logarithm of 16 kHz.

Shape legend: B batch, S samples, K frequency bins, M mel bands, T = S // hop frames.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from librosa.filters import mel
from torch import Tensor, nn

_QUIET_POWER = 1e-9  # under the root
_QUIET_MEL = 1e-5  # below it, a band is silent


class LogMel(nn.Module):
    """Samples to logarithms of mel magnitudes, in float32.

    Args:
        sample_rate_hz: Samples per second.
        window: Samples in the Hann window.
        hop: Samples per frame.
        bands: Mel bands from 0 Hz to half the sample rate, Slaney's scale and area.
        base: Base of the logarithm.
    """

    _hann: Tensor
    _filters: Tensor

    def __init__(self, sample_rate_hz: int, window: int, hop: int, bands: int, base: float) -> None:
        super().__init__()
        self.hop = hop
        self.scale = 1 / math.log(base)
        self.register_buffer("_hann", torch.hann_window(window), persistent=False)
        filters = torch.from_numpy(mel(sr=sample_rate_hz, n_fft=window, n_mels=bands))
        self.register_buffer("_filters", filters, persistent=False)

    def forward(self, audio: Tensor) -> Tensor:
        """(B, S) in [-1, 1] -> (B, M, T)."""
        size = len(self._hann)
        margin = (size - self.hop) // 2
        padded = F.pad(audio.float().clamp(-1, 1), (margin, margin), mode="reflect")
        spectrum = torch.stft(padded, size, self.hop, window=self._hann, center=False, return_complex=True)
        magnitude = (spectrum.real**2 + spectrum.imag**2 + _QUIET_POWER).sqrt()
        return (self._filters @ magnitude).clamp_min(_QUIET_MEL).log() * self.scale
