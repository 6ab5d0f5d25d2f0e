"""Samples to magnitude spectrograms and back, with frames that tile the sound.

Frame ``t`` is centred on sample ``(t + 1/2) * hop``: S samples have exactly S / hop frames, and two of them cover one
audio latent of twice the hop, without an offset.

Shape legend: B batch, S samples, K frequency bins, M mel bands, T spectrogram frames.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from librosa.filters import mel
from torch import Tensor, nn

SILENCE = 0.1  # magnitude below which nothing is kept: 68 dB below a full-scale sine


class Spectrogram(nn.Module):
    """Magnitudes on a linear frequency axis, mel bands, and the way back by Griffin and Lim's iteration.

    Args:
        hop: Samples per frame; the window is four times as long.
        sample_rate_hz: Samples per second.
        mel_bands: Mel bands from 0 Hz to half the sample rate.
    """

    window: Tensor
    filters: Tensor

    def __init__(self, hop: int = 256, sample_rate_hz: int = 16_000, mel_bands: int = 80) -> None:
        super().__init__()
        self.hop = hop
        self.size = 4 * hop
        filters = mel(sr=sample_rate_hz, n_fft=self.size, n_mels=mel_bands, norm=None)
        self.register_buffer("window", torch.hann_window(self.size), persistent=False)
        self.register_buffer("filters", torch.from_numpy(filters), persistent=False)

    @property
    def bins(self) -> int:
        """Frequency bins ``K``."""
        return self.size // 2 + 1

    def log_magnitude(self, audio: Tensor) -> Tensor:
        """(B, S) -> (B, K, S / hop), natural logarithms of magnitudes of at least ``SILENCE``."""
        margin = (self.size - self.hop) // 2
        padded = F.pad(audio.float(), (margin, margin))
        frames = padded.unfold(-1, self.size, self.hop) * self.window
        return torch.fft.rfft(frames).abs().clamp_min(SILENCE).log().transpose(1, 2)

    def log_mel(self, log_magnitude: Tensor) -> Tensor:
        """(B, K, T) -> (B, M, T), natural logarithms."""
        with torch.autocast(log_magnitude.device.type, enabled=False):
            return (self.filters @ log_magnitude.exp()).clamp_min(SILENCE).log()

    def audio(self, log_magnitude: Tensor, iterations: int = 32, momentum: float = 0.99) -> Tensor:
        """Samples whose magnitudes are those given: (B, K, T) -> (B, T * hop).

        The fast Griffin-Lim iteration of Perraudin et al. 2013, from the same random phases for every sound.
        """
        # Repeating the outermost frames puts frame centres on multiples of the hop, half a hop away from the sound.
        edged = torch.cat([log_magnitude[..., :1], log_magnitude, log_magnitude[..., -1:]], dim=-1).float()
        magnitude = (edged.exp() - SILENCE).clamp_min(0)
        generator = torch.Generator().manual_seed(0)
        turns = torch.rand(magnitude.shape[1:], generator=generator).to(magnitude.device)
        estimate = torch.polar(magnitude, (2 * torch.pi * turns).expand_as(magnitude).contiguous())
        previous = torch.zeros_like(estimate)
        length = self.hop * (magnitude.shape[-1] - 1)
        for _ in range(iterations):
            sound = torch.istft(estimate, self.size, self.hop, window=self.window, length=length)
            rebuilt = torch.stft(sound, self.size, self.hop, window=self.window, return_complex=True)
            ahead = rebuilt - momentum / (1 + momentum) * previous
            previous = rebuilt
            estimate = magnitude * ahead / ahead.abs().clamp_min(1e-8)
        sound = torch.istft(estimate, self.size, self.hop, window=self.window, length=length)
        return sound[..., self.hop // 2 : length - self.hop // 2]
