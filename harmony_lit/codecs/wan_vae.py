"""Wan2.2's video autoencoder: 48 channels, one latent for 4 frames of 16 x 16 pixels, the first frame alone.

The network is ``diffusers.AutoencoderKLWan``, which walks through time by itself, one latent frame after the other,
with the last frames of every causal convolution in a cache. Memory therefore grows with the area of a picture and
hardly with the length of a clip; ``tile`` bounds the area. The figures are in ``docs/codecs.md``.

Shape legend: B batch, F pixel frames, Tv latent frames, C latent channels, H W pixel rows and columns, h w latent ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from harmony_lit.codecs.base import check_clip
from harmony_lit.codecs.files import file_fingerprint
from harmony_lit.codecs.published import Published, load_published
from harmony_lit.codecs.statistics import LatentStatistics
from harmony_lit.errors import UserError
from harmony_lit.placement import at_work, resolve_device
from harmony_lit.pretrained.wan_vae import PART

if TYPE_CHECKING:
    from diffusers import AutoencoderKLWan

_STRIDE = (4, 16, 16)
_PATCH = 2  # pixels that the network folds into channels before its first layer
_TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}

WAN_VAE = Published(
    part=PART,
    what="Wan2.2's video autoencoder",
    where="Wan2.2_VAE.pth of huggingface.co/Wan-AI/Wan2.2-TI2V-5B, or the folder vae of its -Diffusers twin",
)

# fmt: off
WAN22_STATISTICS = LatentStatistics(
    mean=[
        -0.2289, -0.0052, -0.1323, -0.2339, -0.2799,  0.0174,  0.1838,  0.1557, -0.1382,  0.0542,  0.2813,  0.0891,
         0.1570, -0.0098,  0.0375, -0.1825, -0.2246, -0.1207, -0.0698,  0.5109,  0.2665, -0.2108, -0.2158,  0.2502,
        -0.2055, -0.0322,  0.1109,  0.1567, -0.0729,  0.0899, -0.2799, -0.1230, -0.0313, -0.1649,  0.0117,  0.0723,
        -0.2839, -0.2083, -0.0520,  0.3748,  0.0152,  0.1957,  0.1433, -0.2944,  0.3573, -0.0548, -0.1681, -0.0667,
    ],
    std=[
        0.4765, 1.0364, 0.4514, 1.1677, 0.5313, 0.4990, 0.4818, 0.5013, 0.8158, 1.0344, 0.5894, 1.0901,
        0.6885, 0.6165, 0.8454, 0.4978, 0.5759, 0.3523, 0.7135, 0.6804, 0.5833, 1.4146, 0.8986, 0.5659,
        0.7069, 0.5338, 0.4889, 0.4917, 0.4069, 0.4999, 0.6866, 0.4093, 0.5709, 0.6065, 0.6415, 0.4944,
        0.5726, 1.2042, 0.5458, 1.6887, 0.3971, 1.0600, 0.3943, 0.5537, 0.5444, 0.4089, 0.7468, 0.7744,
    ],
)
"""As published: ``Wan2_2_VAE`` in ``wan/modules/vae2_2.py`` of Wan-Video/Wan2.2, and ``latents_mean``, ``latents_std``
in the config of Wan-AI/Wan2.2-TI2V-5B-Diffusers."""
# fmt: on


class WanVideoCodec:
    """Wan2.2's video autoencoder (``VideoCodec``), whose weights load at first use; latents are posterior means.

    Args:
        weights: ``Wan2.2_VAE.pth``, or the folder or file of diffusers' layout; ``random`` gives fixed random weights,
            which serve tests of shapes, memory and speed.
        precision: ``fp32`` as Wan's own code runs it; ``bf16`` takes about half the memory.
        device: Where the network runs; null is the accelerator, or the CPU where there is none. What comes out lies
            where what went in does.
        offload: Leave the accelerator's memory after every call.
        tile: Pixels on a side of the tiles that a larger picture is cut into, a multiple of 64, overlapping by a
            quarter; null never cuts, which is exact.
        channels: Latent channels ``C``.
        width: Width of the encoder's first level.
        decoder_width: Width of the decoder's last level.
        statistics: Mean and deviation of each channel; those published for Wan2.2 unless said otherwise.

    Raises:
        UserError: If ``tile`` is no multiple of 64, or the statistics are of another number of channels.
    """

    stride: tuple[int, int, int] = _STRIDE

    def __init__(
        self,
        weights: str,
        precision: Literal["fp32", "bf16"] = "fp32",
        device: str | None = None,
        offload: bool = False,
        tile: int | None = None,
        channels: int = 48,
        width: int = 160,
        decoder_width: int = 256,
        statistics: LatentStatistics = WAN22_STATISTICS,
    ) -> None:
        if tile is not None and (tile < 64 or tile % 64):
            raise UserError(f"video_codec.tile must be a multiple of 64 pixels, not {tile}")
        statistics.check_channels(channels)
        self.weights = weights
        self.precision = precision
        self.device = device
        self.offload = offload
        self.tile = tile
        self.channels = channels
        self.width = width
        self.decoder_width = decoder_width
        self.statistics = statistics

    @cached_property
    def fingerprint(self) -> str:
        """Hex digest of class, settings and the bytes of the weights' files; the network is not built for it."""
        settings = {
            "precision": self.precision,
            "tile": self.tile,
            "widths": [self.channels, self.width, self.decoder_width],
            "statistics": [self.statistics.mean, self.statistics.std],
        }
        return file_fingerprint(type(self).__name__, settings, {"vae": WAN_VAE.files(self.weights)})

    @torch.no_grad()
    def encode(self, video: Tensor) -> Tensor:
        """(B, 3, F, H, W) in [-1, 1] -> (B, C, Tv, H / 16, W / 16), normalised; deterministic.

        Raises:
            UserError: If F is not 1 + 4k, or H or W is no multiple of 16.
        """
        check_clip(video, _STRIDE)
        with at_work(self._network, self.device, self.offload) as network:
            self._cut(network, video.shape[3:], unit=_PATCH)
            # One clip at a time, as a batch would take a batch's memory.
            posteriors = [network.encode(clip.to(network.device, network.dtype)).latent_dist for clip in video.split(1)]
            return torch.cat([self.statistics.normalise(p.mode()).to(video.device) for p in posteriors])

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """(B, C, Tv, h, w) -> (B, 3, 1 + 4 (Tv - 1), 16 h, 16 w) in [-1, 1], float32."""
        with at_work(self._network, self.device, self.offload) as network:
            self._cut(network, [side * _STRIDE[1] for side in latents.shape[3:]], unit=1)
            raw = self.statistics.restore(latents).split(1)
            clips = [network.decode(clip.to(network.device, network.dtype)).sample for clip in raw]
            return torch.cat([clip.to(latents.device).float() for clip in clips]).clamp_(-1, 1)

    def new_network(self) -> AutoencoderKLWan:
        """The network with torch's own random weights, on the device of the surrounding context."""
        from diffusers import AutoencoderKLWan  # slow to import

        return AutoencoderKLWan(
            base_dim=self.width,
            decoder_base_dim=self.decoder_width,
            z_dim=self.channels,
            latents_mean=self.statistics.mean,
            latents_std=self.statistics.std,
            is_residual=True,
            in_channels=3 * _PATCH**2,
            out_channels=3 * _PATCH**2,
            patch_size=_PATCH,
            scale_factor_temporal=_STRIDE[0],
            scale_factor_spatial=_STRIDE[1],
        )

    def _cut(self, network: AutoencoderKLWan, sides: Sequence[int], unit: int) -> None:
        """Says how the next pass cuts pictures of these sides in pixels.

        diffusers cuts what goes into the encoder after folding pixels into channels and what comes out of the decoder
        before unfolding, but measures both alike, so that tiles to be encoded are given in folded pixels (``unit``).
        """
        if self.tile is None or max(sides) <= self.tile:
            network.disable_tiling()
        else:
            side, step = self.tile // unit, self.tile * 3 // 4 // unit
            network.enable_tiling(side, side, step, step)

    @cached_property
    def _network(self) -> AutoencoderKLWan:
        device = resolve_device(self.device)
        return load_published(WAN_VAE, self.weights, self.new_network, _TYPES[self.precision], device)
