"""The spectrogram that Synchformer hears: what ``torchaudio.transforms.MelSpectrogram`` gives, without torchaudio.

Shape legend: S segments, N samples, M mel bands, T spectrogram frames.
"""

from __future__ import annotations

from functools import cache

import torch
from librosa.filters import mel
from torch import Tensor
from torch.nn import functional as F

from metrics.synchformer.audio import MEL_BANDS, MEL_FRAMES

SAMPLE_RATE_HZ = 16_000
_FFT, _WINDOW, _HOP = 1024, 400, 160
_MEAN, _STD = -4.2677393, 4.5689974


def mel_power(segments: Tensor) -> Tensor:
    """Power in 128 bands, evenly spaced on HTK's mel scale from 0 to 8 kHz: (S, N) -> (S, M, 1 + N // 160).

    Frames of 25 ms are centred on multiples of 10 ms; the sound is mirrored at its ends.
    """
    window = torch.hann_window(_WINDOW, device=segments.device)
    spectrum = torch.stft(segments, _FFT, _HOP, _WINDOW, window, center=True, pad_mode="reflect", return_complex=True)
    return _filters().to(segments.device) @ spectrum.abs().square()


def normalised_log_mel(segments: Tensor) -> Tensor:
    """(S, 10240) samples in [-1, 1] -> (S, 128, 66), the last frame zero before the statistics are taken off."""
    mels = (mel_power(segments.float()) + 1e-6).log()
    return (F.pad(mels, (0, MEL_FRAMES - mels.shape[-1])) - _MEAN) / (2 * _STD)


@cache
def _filters() -> Tensor:
    return torch.from_numpy(mel(sr=SAMPLE_RATE_HZ, n_fft=_FFT, n_mels=MEL_BANDS, htk=True, norm=None))
