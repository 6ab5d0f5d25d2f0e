"""A small causal video autoencoder with the stride (4, 16, 16) of the real one.

Four pixel frames are folded into channels and every latent frame is encoded by itself with 2-D convolutions; the first
pixel frame stands alone, repeated to fill its group. A static scene thus has constant latents, and an image has the
latent of a clip's first frame. Only the decoder looks back in time, two latent frames.

Training adds noise to latents of unit variance (``training.py``), which makes them smooth: what a diffusion model gets
slightly wrong is decoded to something slightly wrong.

Shape legend: B batch, F pixel frames, Tv latent frames, C latent channels, H W pixel rows and columns, h w latent ones.
"""

from __future__ import annotations

from functools import cached_property
from typing import Literal

import torch
from einops import rearrange
from torch import Tensor, nn

from harmony_lit.codecs.base import check_clip
from harmony_lit.codecs.blocks import Residual, zeroed
from harmony_lit.codecs.files import fingerprint, load_weights, resolve_weights

_STRIDE = (4, 16, 16)
_CHUNK = 256  # latent frames per pass, small enough for the caches


class _LookBack(nn.Module):
    """Adds a convolution over the current and the two previous latent frames, (B, Tv, D, h, w); starts as nothing."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.SiLU(), zeroed(nn.Conv2d(3 * width, width, 3, padding=1)))

    def forward(self, x: Tensor) -> Tensor:
        padded = torch.cat([x[:, :1], x[:, :1], x], dim=1)
        stacked = torch.cat([padded[:, 2:], padded[:, 1:-1], padded[:, :-2]], dim=2)
        return x + self.layers(stacked.flatten(0, 1)).unflatten(0, x.shape[:2])


class ConvVideoAutoencoder(nn.Module):
    """The network behind ``ConvVideoCodec``.

    Args:
        channels: Latent channels ``C``.
        width: Width on the grid of 4 pixels; those of 8 and 16 pixels have 1.5 and 2 times it.
    """

    def __init__(self, channels: int, width: int = 64) -> None:
        super().__init__()
        fine, middle, coarse = width, width * 3 // 2, width * 2
        group = 3 * _STRIDE[0]
        self.encoder = nn.Sequential(
            nn.Conv2d(group, fine, 8, stride=4, padding=2),
            Residual(nn.Conv2d, fine),
            nn.Conv2d(fine, middle, 2, stride=2),
            Residual(nn.Conv2d, middle),
            nn.Conv2d(middle, coarse, 2, stride=2),
            Residual(nn.Conv2d, coarse),
            nn.Conv2d(coarse, channels, 1),
        )
        self.inlet = nn.Conv2d(channels, coarse, 3, padding=1)
        self.look_back = _LookBack(coarse)
        self.decoder = nn.Sequential(
            Residual(nn.Conv2d, coarse),
            nn.Conv2d(coarse, 4 * middle, 1),
            nn.PixelShuffle(2),
            Residual(nn.Conv2d, middle),
            nn.Conv2d(middle, 4 * fine, 1),
            nn.PixelShuffle(2),
            Residual(nn.Conv2d, fine),
            nn.Conv2d(fine, group * 16, 3, padding=1),
            nn.PixelShuffle(4),
        )
        self.normalise = nn.BatchNorm3d(channels, affine=False, momentum=0.05)
        for conv in self.modules():
            if isinstance(conv, nn.Conv2d):
                if conv.weight.is_meta or conv.weight.any():  # those at zero stay there
                    nn.init.normal_(conv.weight, std=conv.weight[0].numel() ** -0.5)
                conv.weight.data = conv.weight.data.contiguous(memory_format=torch.channels_last)  # faster on CPU

    def encode(self, video: Tensor) -> Tensor:
        """(B, 3, F, H, W) in [-1, 1] -> (B, C, Tv, h, w), normalised: by the batch in training, else as stored."""
        first = video[:, :, :1].expand(-1, -1, _STRIDE[0], -1, -1)
        groups = rearrange(torch.cat([first, video[:, :, 1:]], dim=2), "b c (t g) h w -> (b t) (g c) h w", g=_STRIDE[0])
        latents = self.encoder(groups.contiguous(memory_format=torch.channels_last)).float()
        return self.normalise(rearrange(latents, "(b t) c h w -> b c t h w", b=video.shape[0]))

    def decode(self, latents: Tensor) -> Tensor:
        """(B, C, Tv, h, w) -> (B, 3, F, H, W), not clamped."""
        batch = latents.shape[0]
        x = rearrange(latents, "b c t h w -> (b t) c h w").contiguous(memory_format=torch.channels_last)
        x = self.look_back(self.inlet(x).unflatten(0, (batch, -1))).flatten(0, 1)
        pixels = rearrange(self.decoder(x), "(b t) (g c) h w -> b c (t g) h w", b=batch, g=_STRIDE[0]).float()
        return pixels[:, :, _STRIDE[0] - 1 :]


class ConvVideoCodec:
    """A convolutional video codec (``VideoCodec``) whose weights load at first use.

    Args:
        channels: Latent channels ``C``.
        weights: A packaged name (``world``) or a path to a safetensors file; null gives fixed random weights, which
            serve tests of shapes only.
        width: Width of the network.
        precision: ``bf16`` runs the convolutions in bfloat16, several times faster on CPUs with AMX and on GPUs.
    """

    stride: tuple[int, int, int] = _STRIDE

    def __init__(
        self,
        channels: int = 12,
        weights: str | None = "world",
        width: int = 64,
        precision: Literal["bf16", "fp32"] = "bf16",
    ) -> None:
        self.channels = channels
        self.weights = weights
        self.width = width
        self.precision = precision

    @property
    def settings(self) -> dict[str, int]:
        """What determines the shapes of the weights; stored beside them."""
        return {"channels": self.channels, "width": self.width}

    @cached_property
    def fingerprint(self) -> str:
        """Hex digest of class, settings and weights."""
        settings = {**self.settings, "precision": self.precision}
        return fingerprint(type(self).__name__, settings, self._network.state_dict())

    @torch.no_grad()
    def encode(self, video: Tensor) -> Tensor:
        """(B, 3, F, H, W) in [-1, 1] -> (B, C, Tv, H / 16, W / 16), normalised; deterministic.

        Raises:
            UserError: If F is not 1 + 4k, or H or W is no multiple of 16.
        """
        check_clip(video, _STRIDE)
        return self._chunked("encode", video, latent_frames=1 + (video.shape[2] - 1) // _STRIDE[0])

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """(B, C, Tv, h, w) -> (B, 3, 1 + 4 (Tv - 1), 16 h, 16 w) in [-1, 1]."""
        return self._chunked("decode", latents, latent_frames=latents.shape[2]).clamp_(-1, 1)

    def _chunked(self, method: str, x: Tensor, latent_frames: int) -> Tensor:
        """Runs the network on as many clips at a time as hold about ``_CHUNK`` latent frames."""
        network = self._network.to(x.device)
        run = getattr(network, method)
        with torch.autocast(x.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
            return torch.cat([run(part.float()) for part in x.split(max(1, _CHUNK // latent_frames))])

    def new_network(self) -> ConvVideoAutoencoder:
        """The codec's network with fixed random weights, to be trained."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return ConvVideoAutoencoder(self.channels, self.width)

    @cached_property
    def _network(self) -> ConvVideoAutoencoder:
        network = self.new_network()
        if self.weights is not None:
            load_weights(resolve_weights(self.weights, "video"), network, self.settings)
        return network.eval().requires_grad_(False)
