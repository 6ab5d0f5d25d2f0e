"""Fits that make the world codecs: reconstruct clips through noisy latents, then export the weights.

The batch normalisation of the latents gives each channel unit variance, and noise of a random strength on top limits
what a channel can carry. Latents that decode well in spite of it are smooth and easy to learn for a diffusion model.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Self

import torch
from torch import Tensor, nn

from harmony_lit.codecs.conv_video import ConvVideoCodec
from harmony_lit.codecs.losses import spectral_loss, video_loss
from harmony_lit.codecs.spectral_audio import SpectralAudioCodec
from harmony_lit.training.single import NetworkModule


class CodecModule(NetworkModule):
    """What the fits of both codecs share: reconstruction through noisy latents.

    Args:
        network: The autoencoder to train.
        settings: Its settings, stored beside the exported weights.
        export: Where to write the safetensors file when the fit ends.
        learning_rate: Peak learning rate.
        noise: Largest standard deviation of the noise on normalised latents; each sample draws its own, from 0.
    """

    def __init__(
        self, network: nn.Module, settings: dict[str, int], export: str, learning_rate: float, noise: float
    ) -> None:
        super().__init__(network, settings, export, learning_rate)
        self.noise = noise

    @abstractmethod
    def reconstruction_loss(self, batch: Tensor, noise: float) -> Tensor:
        """Loss of ``batch`` after a round trip with up to ``noise`` on its latents."""

    def perturb(self, latents: Tensor, noise: float) -> Tensor:
        """Adds Gaussian noise whose strength is drawn for each sample from 0 to ``noise``."""
        strength = noise * torch.rand(latents.shape[0], *[1] * (latents.dim() - 1), device=latents.device)
        return latents + strength * torch.randn_like(latents)

    def training_loss(self, batch: Tensor) -> Tensor:
        """Reconstruction through noisy latents."""
        return self.reconstruction_loss(batch, self.noise)

    def validation_loss(self, batch: Tensor) -> Tensor:
        """Reconstruction without noise."""
        return self.reconstruction_loss(batch, 0.0)


class VideoCodecModule(CodecModule):
    """Trains a ``ConvVideoCodec`` on batches of uint8 frames, (B, 3, F, H, W).

    Latents that keep timing want a large ``gain``, clean pictures a small one. So a second stage with
    ``decoder_only`` and less gain polishes the pictures, and leaves the latents as they are.

    Args:
        codec: The codec to train, with ``weights: null``.
        export: Where to write its safetensors file when the fit ends.
        learning_rate: Peak learning rate.
        noise: Largest standard deviation of the noise on normalised latents.
        gain: Extra weight of pixels that change, see ``motion_weight``.
        absolute: Weight of the absolute error, see ``video_loss``.
        decoder_only: Whether the encoder and the statistics of the latents stay as they are.
    """

    def __init__(
        self,
        codec: ConvVideoCodec,
        export: str,
        learning_rate: float = 2e-3,
        noise: float = 0.35,
        gain: float = 16.0,
        absolute: float = 0.3,
        decoder_only: bool = False,
    ) -> None:
        super().__init__(codec.new_network(), codec.settings, export, learning_rate, noise)
        self.gain = gain
        self.absolute = absolute
        self.decoder_only = decoder_only
        self.network.encoder.requires_grad_(not decoder_only)

    def train(self, mode: bool = True) -> Self:
        """Training mode; statistics that shall stay as they are do."""
        super().train(mode)
        if self.decoder_only:
            self.network.normalise.eval()
        return self

    def reconstruction_loss(self, batch: Tensor, noise: float) -> Tensor:
        """See the base; batch (B, 3, F, H, W) uint8."""
        video = batch.float() / 127.5 - 1
        decoded = self.network.decode(self.perturb(self.network.encode(video), noise))
        return video_loss(decoded, video, self.gain, self.absolute)


class AudioCodecModule(CodecModule):
    """Trains a ``SpectralAudioCodec`` on batches of samples, (B, S).

    Args:
        codec: The codec to train, with ``weights: null``.
        export: Where to write its safetensors file when the fit ends.
        learning_rate: Peak learning rate.
        noise: Largest standard deviation of the noise on normalised latents.
    """

    def __init__(self, codec: SpectralAudioCodec, export: str, learning_rate: float = 2e-3, noise: float = 0.6) -> None:
        super().__init__(codec.new_network(), codec.settings, export, learning_rate, noise)

    def reconstruction_loss(self, batch: Tensor, noise: float) -> Tensor:
        """See the base; batch (B, S)."""
        target = self.network.log_magnitude(batch)
        return spectral_loss(self.network.decode(self.perturb(self.network.encode(target), noise)), target)
