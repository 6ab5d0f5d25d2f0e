"""How audio latents become tokens of the audio branch.

Shape legend: B batch, C latent channels, T audio latents, D width.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch.nn.functional as F
from torch import Tensor, nn

from harmony_lit.containers import AudioLatents


class AudioProjection(nn.Module, ABC):
    """Base of the input projections; one token for each latent."""

    @abstractmethod
    def forward(self, latents: AudioLatents) -> Tensor:
        """Latents (B, C, T) -> tokens (B, T, D). What lies in the padding must not reach a valid token."""


class LinearProjection(AudioProjection):
    """Each latent by itself.

    Args:
        channels: C, passed by the tower.
        width: D, passed by the tower.
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        linear = nn.Linear(channels, width)
        self.weight, self.bias = linear.weight, linear.bias

    def forward(self, latents: AudioLatents) -> Tensor:
        """See the base."""
        return F.linear(latents.x.transpose(1, 2), self.weight, self.bias)


class GatedConvolution(nn.Module):
    """w2(silu(w1 x) * w3 x): a SwiGLU of convolutions over time, without bias."""

    def __init__(self, width: int, hidden: int, kernel: int) -> None:
        super().__init__()
        self.w1 = nn.Conv1d(width, hidden, kernel, padding=kernel // 2, bias=False)
        self.w2 = nn.Conv1d(hidden, width, kernel, padding=kernel // 2, bias=False)
        self.w3 = nn.Conv1d(width, hidden, kernel, padding=kernel // 2, bias=False)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """x (B, D, T), mask (B, 1, T) of zeros and ones -> (B, D, T)."""
        return self.w2(F.silu(self.w1(x)) * self.w3(x) * mask)


class ConvProjection(nn.Sequential, AudioProjection):
    """Ovi's: a convolution, SiLU, and a gated convolution, each over ``kernel`` latents.

    Padding is zero before every convolution, so that a clip gives the same tokens in any batch. Keys are Ovi's:
    ``0`` and ``2.{w1,w2,w3}``.

    Args:
        channels: C, passed by the tower.
        width: D, passed by the tower.
        kernel: Latents that each convolution sees; odd.
        multiple_of: The hidden width is 8/3 of D, rounded up to a multiple of this (8192 at D = 3072).

    Raises:
        ValueError: If ``kernel`` is even.
    """

    def __init__(self, channels: int, width: int, *, kernel: int = 7, multiple_of: int = 256) -> None:
        if kernel % 2 == 0:
            raise ValueError(f"audio.projection.kernel must be odd, so that a latent stays where it is, not {kernel}")
        hidden = -(-(8 * width // 3) // multiple_of) * multiple_of
        first = nn.Conv1d(channels, width, kernel, padding=kernel // 2)
        super().__init__(first, nn.SiLU(), GatedConvolution(width, hidden, kernel))

    def forward(self, latents: AudioLatents) -> Tensor:
        """See the base."""
        mask = latents.mask[:, None].to(latents.x.dtype)
        first, silu, gated = self
        x: Tensor = gated(silu(first(latents.x * mask)) * mask, mask)
        return x.transpose(1, 2)
