"""MMAudio's sound codec: log-mel, a one-dimensional autoencoder, and BigVGAN as vocoder; at 16 or 44.1 kHz.

Two mel frames make one latent. At 16 kHz that is 512 samples or 31.25 Hz, at 44.1 kHz 1024 samples or 43.07 Hz. Frames
are centred in their hop, so that latent ``j`` covers samples ``j * hop`` to ``(j + 1) * hop`` and nothing is shifted.
A latent still knows the whole sound: the autoencoder attends over it.

The networks are those of ``diffusers.MMAudioVAE`` and ``diffusers.MMAudioVocoder`` and run in float32: they are small,
and a vocoder's phases are heard.

Shape legend: B batch, S samples, M mel bands, T mel frames, C latent channels, Ta = T / 2 latents.
"""

from __future__ import annotations

import math
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn

from harmony_lit.codecs.files import file_fingerprint
from harmony_lit.codecs.mel import LogMel
from harmony_lit.codecs.published import Published, load_published
from harmony_lit.codecs.statistics import LatentStatistics
from harmony_lit.errors import UserError
from harmony_lit.placement import Network, at_work, resolve_device
from harmony_lit.pretrained.mmaudio import VAE_PART, VOCODER_PART

if TYPE_CHECKING:
    from diffusers import MMAudioVocoder
    from diffusers.models.autoencoders.autoencoder_mmaudio import MMAudioAutoencoder

_FRAMES = 2  # mel frames per latent
_CHUNK = 4  # sounds per pass: the vocoder's activations are long
_RELEASE = "github.com/hkchengrex/MMAudio/releases/tag/v0.1"


@dataclass(frozen=True)
class MMAudioSizes:
    """Rates and widths of one of MMAudio's codecs.

    Attributes:
        sample_rate_hz: Samples per second.
        window: Samples in a mel frame's window.
        mel_hop: Samples per mel frame, the product of ``upsampling``.
        mel_bands: Mel bands ``M``.
        log_base: Base of the mel logarithm.
        channels: Latent channels ``C``.
        width: Width of the autoencoder's first level.
        vocoder_width: Width of the vocoder's first level.
        upsampling: Factors of the vocoder's levels; kernels are twice as long.
        bounded: The vocoder ends in a bias and tanh (BigVGAN), not in neither and a clamp (BigVGAN v2).
        vae: The autoencoder's weights.
        vocoder: The vocoder's weights.
    """

    sample_rate_hz: int
    window: int
    mel_hop: int
    mel_bands: int
    log_base: float
    channels: int
    width: int
    vocoder_width: int
    upsampling: tuple[int, ...]
    bounded: bool
    vae: Published
    vocoder: Published


MMAUDIO = {
    "16k": MMAudioSizes(
        sample_rate_hz=16_000,
        window=1024,
        mel_hop=256,
        mel_bands=80,
        log_base=10,
        channels=20,
        width=384,
        vocoder_width=1536,
        upsampling=(4, 4, 2, 2, 2, 2),
        bounded=True,
        vae=Published(VAE_PART, "MMAudio's autoencoder for 16 kHz", f"v1-16.pth of {_RELEASE}"),
        vocoder=Published(VOCODER_PART, "MMAudio's vocoder for 16 kHz", f"best_netG.pt of {_RELEASE}"),
    ),
    "44k": MMAudioSizes(
        sample_rate_hz=44_100,
        window=2048,
        mel_hop=512,
        mel_bands=128,
        log_base=math.e,
        channels=40,
        width=512,
        vocoder_width=1536,
        upsampling=(8, 4, 2, 2, 2, 2),
        bounded=False,
        vae=Published(VAE_PART, "MMAudio's autoencoder for 44.1 kHz", f"v1-44.pth of {_RELEASE}"),
        vocoder=Published(
            VOCODER_PART,
            "MMAudio's vocoder for 44.1 kHz",
            "bigvgan_generator.pt of huggingface.co/nvidia/bigvgan_v2_44khz_128band_512x",
        ),
    ),
}
"""The published codecs; from ``VAE_16k``, ``VAE_44k``, ``get_mel_converter`` and the vocoders' configs of MMAudio."""


class _TanhConv(nn.Conv1d):
    """BigVGAN's last layer; the clamp that ``diffusers.MMAudioVocoder`` puts behind it then changes nothing."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).tanh()


class MMAudioCodec:
    """MMAudio's autoencoder and vocoder (``AudioCodec``), whose weights load at first use; latents are posterior means.

    Args:
        vae_weights: ``v1-16.pth`` or ``v1-44.pth``, or diffusers' layout of it; ``random`` gives fixed random weights,
            which serve tests of shapes, memory and speed.
        vocoder_weights: ``best_netG.pt`` for 16 kHz or NVIDIA's ``bigvgan_generator.pt`` for 44.1 kHz, or diffusers'
            layout; ``random`` as above. Only ``decode`` reads it.
        normalise: Mean and deviation of each latent channel. ``none`` leaves latents as the autoencoder gives them,
            which is what Ovi was trained on; MMAudio's own models normalise, by ``latent_mean`` and ``latent_std`` in
            their files.
        rate: ``16k`` or ``44k``, or other sizes.
        device: Where the networks run; null is the accelerator, or the CPU where there is none. What comes out lies
            where what went in does.
        offload: Leave the accelerator's memory after every call.

    Raises:
        UserError: If the statistics are of another number of channels.
    """

    def __init__(
        self,
        vae_weights: str,
        vocoder_weights: str,
        normalise: LatentStatistics | Literal["none"],
        rate: Literal["16k", "44k"] | MMAudioSizes = "16k",
        device: str | None = None,
        offload: bool = False,
    ) -> None:
        self.sizes = MMAUDIO[rate] if isinstance(rate, str) else rate
        self.channels = self.sizes.channels
        self.hop = _FRAMES * self.sizes.mel_hop
        self.sample_rate_hz = self.sizes.sample_rate_hz
        nothing = LatentStatistics(mean=[0.0] * self.channels, std=[1.0] * self.channels)
        self.statistics = nothing if normalise == "none" else normalise
        self.statistics.check_channels(self.channels)
        self.vae_weights = vae_weights
        self.vocoder_weights = vocoder_weights
        self.device = device
        self.offload = offload

    @cached_property
    def fingerprint(self) -> str:
        """Hex digest of class, settings and the bytes of both weights' files; no network is built for it."""
        sizes = self.sizes
        settings = {
            "mel": [sizes.sample_rate_hz, sizes.window, sizes.mel_hop, sizes.mel_bands, sizes.log_base],
            "widths": [sizes.channels, sizes.width, sizes.vocoder_width],
            "vocoder": [sizes.upsampling, sizes.bounded],
            "statistics": [self.statistics.mean, self.statistics.std],
        }
        files = {"vae": sizes.vae.files(self.vae_weights), "vocoder": sizes.vocoder.files(self.vocoder_weights)}
        return file_fingerprint(type(self).__name__, settings, files)

    @torch.no_grad()
    def encode(self, audio: Tensor) -> Tensor:
        """(B, S) in [-1, 1] -> (B, C, S // hop); samples behind the last whole latent shape it but have none.

        Raises:
            UserError: If the sound is shorter than one latent.
        """
        if audio.shape[1] < self.hop:
            raise UserError(f"a sound needs at least {self.hop} samples for one latent, not {audio.shape[1]}")
        latents = []
        with self._at_work(self._vae) as vae, self._at_work(self._log_mel) as log_mel:
            for part in audio.split(_CHUNK):
                moments = vae.encode(log_mel(part.to(vae.data_mean.device)))
                latents.append(self.statistics.normalise(moments[:, : self.channels]).to(audio.device))
        return torch.cat(latents)

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """(B, C, Ta) -> (B, Ta * hop) in [-1, 1]."""
        sounds = []
        with self._at_work(self._vae) as vae, self._at_work(self._vocoder) as vocoder:
            for part in latents.split(_CHUNK):
                mel = vae.decode(self.statistics.restore(part.to(vae.data_mean.device)))
                sounds.append(vocoder(mel).sample[:, 0].to(latents.device))
        return torch.cat(sounds)

    def new_network(self) -> nn.ModuleDict:
        """Both networks with random weights, by the names that published weights fill."""
        return nn.ModuleDict({"vae": self.new_vae(), "vocoder": self.new_vocoder()})

    def new_vae(self) -> MMAudioAutoencoder:
        """The autoencoder with random weights, on the device of the surrounding context."""
        from diffusers.models.autoencoders.autoencoder_mmaudio import MMAudioAutoencoder  # slow to import

        sizes = self.sizes
        return MMAudioAutoencoder(sizes.mel_bands, sizes.channels, sizes.width, (1, 2, 4), layers_per_block=2)

    def new_vocoder(self) -> MMAudioVocoder:
        """The vocoder with random weights, on the device of the surrounding context."""
        from diffusers import MMAudioVocoder  # slow to import

        sizes = self.sizes
        kernels = tuple(2 * factor for factor in sizes.upsampling)
        vocoder = MMAudioVocoder(sizes.mel_bands, sizes.vocoder_width, sizes.upsampling, kernels)
        if sizes.bounded:
            last = vocoder.conv_post
            vocoder.conv_post = _TanhConv(last.in_channels, 1, last.kernel_size, padding=last.padding)
        return vocoder

    def _at_work(self, network: Network) -> AbstractContextManager[Network]:
        return at_work(network, self.device, self.offload)

    @cached_property
    def _log_mel(self) -> LogMel:
        sizes = self.sizes
        return LogMel(sizes.sample_rate_hz, sizes.window, sizes.mel_hop, sizes.mel_bands, sizes.log_base)

    @cached_property
    def _vae(self) -> MMAudioAutoencoder:
        device = resolve_device(self.device)
        return load_published(self.sizes.vae, self.vae_weights, self.new_vae, torch.float32, device)

    @cached_property
    def _vocoder(self) -> MMAudioVocoder:
        device = resolve_device(self.device)
        return load_published(self.sizes.vocoder, self.vocoder_weights, self.new_vocoder, torch.float32, device)
