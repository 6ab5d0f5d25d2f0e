"""A small audio autoencoder at the rate of the real one: log-mel in, linear spectrogram out, phases by Griffin-Lim.

The front end is MMAudio's at 16 kHz (80 mel bands, window 1024, hop 256); two spectrogram frames make one latent, so
that 512 samples per latent give 31.25 Hz. As in the video codec, noise on latents of unit variance makes them smooth.

Shape legend: B batch, S samples, C latent channels, Ta latents, K frequency bins, M mel bands, T = 2 Ta frames.
"""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor, nn

from harmony_lit.codecs.blocks import Residual
from harmony_lit.codecs.files import fingerprint, load_weights, resolve_weights
from harmony_lit.codecs.spectrogram import Spectrogram
from harmony_lit.errors import UserError

_CENTRE, _SPREAD = 0.0, 2.5  # about the mean and deviation of log-magnitudes
_CHUNK = 4  # sounds per pass, few enough for the caches


class SpectralAutoencoder(nn.Module):
    """The network behind ``SpectralAudioCodec``.

    Args:
        channels: Latent channels ``C``.
        hop: Samples per latent.
        sample_rate_hz: Samples per second.
        width: Width of the network.
    """

    def __init__(self, channels: int, hop: int = 512, sample_rate_hz: int = 16_000, width: int = 128) -> None:
        super().__init__()
        self.spectrogram = Spectrogram(hop // 2, sample_rate_hz)
        self.encoder = nn.Sequential(
            nn.Conv1d(len(self.spectrogram.filters), width, 3, padding=1),
            Residual(nn.Conv1d, width),
            nn.Conv1d(width, width, 4, stride=2, padding=1),
            Residual(nn.Conv1d, width),
            nn.Conv1d(width, channels, 1),
        )
        self.decoder = nn.Sequential(
            nn.Conv1d(channels, width, 3, padding=1),
            Residual(nn.Conv1d, width),
            nn.ConvTranspose1d(width, width, 4, stride=2, padding=1),
            Residual(nn.Conv1d, width),
            Residual(nn.Conv1d, width),
            nn.Conv1d(width, self.spectrogram.bins, 3, padding=1),
        )
        self.normalise = nn.BatchNorm1d(channels, affine=False, momentum=0.05)

    def log_magnitude(self, audio: Tensor) -> Tensor:
        """(B, S) -> (B, K, T), what ``decode`` should give back."""
        return self.spectrogram.log_magnitude(audio)

    def encode(self, log_magnitude: Tensor) -> Tensor:
        """(B, K, T) -> (B, C, Ta), normalised: by the batch in training, else as stored."""
        mel = self.spectrogram.log_mel(log_magnitude)
        return self.normalise(self.encoder((mel - _CENTRE) / _SPREAD).float())

    def decode(self, latents: Tensor) -> Tensor:
        """(B, C, Ta) -> (B, K, T) log-magnitudes."""
        return self.decoder(latents).float() * _SPREAD + _CENTRE


class SpectralAudioCodec:
    """A spectrogram autoencoder for sound (``AudioCodec``) whose weights load at first use.

    Args:
        channels: Latent channels ``C``.
        hop: Samples per latent, an even number.
        sample_rate_hz: Samples per second.
        weights: A packaged name (``world``) or a path to a safetensors file; null gives fixed random weights, which
            serve tests of shapes only.
        width: Width of the network.
        iterations: Iterations of Griffin-Lim; more sound cleaner and take longer.

    Raises:
        UserError: If ``hop`` is odd.
    """

    def __init__(
        self,
        channels: int = 20,
        hop: int = 512,
        sample_rate_hz: int = 16_000,
        weights: str | None = "world",
        width: int = 128,
        iterations: int = 16,
    ) -> None:
        if hop < 2 or hop % 2:
            raise UserError(f"audio_codec.hop must be an even number of samples, not {hop}")
        self.channels = channels
        self.hop = hop
        self.sample_rate_hz = sample_rate_hz
        self.weights = weights
        self.width = width
        self.iterations = iterations

    @property
    def settings(self) -> dict[str, int]:
        """What determines the weights; stored beside them."""
        return {
            "channels": self.channels,
            "hop": self.hop,
            "sample_rate_hz": self.sample_rate_hz,
            "width": self.width,
        }

    @cached_property
    def fingerprint(self) -> str:
        """Hex digest of class, settings and weights."""
        settings = {**self.settings, "iterations": self.iterations}
        return fingerprint(type(self).__name__, settings, self._network.state_dict())

    @torch.no_grad()
    def encode(self, audio: Tensor) -> Tensor:
        """(B, S) in [-1, 1] -> (B, C, S // hop), normalised; samples behind the last whole latent are left out.

        Raises:
            UserError: If the sound is shorter than one latent.
        """
        latents = audio.shape[1] // self.hop
        if latents < 1:
            raise UserError(f"a sound needs at least {self.hop} samples for one latent, not {audio.shape[1]}")
        network = self._network.to(audio.device)
        whole = audio[:, : latents * self.hop]
        return torch.cat([network.encode(network.log_magnitude(part)) for part in whole.split(_CHUNK)])

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """(B, C, Ta) -> (B, Ta * hop) in [-1, 1]."""
        network = self._network.to(latents.device)
        sounds = [
            network.spectrogram.audio(network.decode(part.float()), self.iterations) for part in latents.split(_CHUNK)
        ]
        return torch.cat(sounds).clamp_(-1, 1)

    def new_network(self) -> SpectralAutoencoder:
        """The codec's network with fixed random weights, to be trained."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return SpectralAutoencoder(self.channels, self.hop, self.sample_rate_hz, self.width)

    @cached_property
    def _network(self) -> SpectralAutoencoder:
        network = self.new_network()
        if self.weights is not None:
            load_weights(resolve_weights(self.weights, "audio"), network, self.settings)
        return network.eval().requires_grad_(False)
