"""Small layers that every tower uses.

Shape legend: B batch, N heads, L tokens, D width, E head width.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from einops import rearrange
from torch import Tensor, nn

from harmony_lit.model.attention import AttentionBackend, attention
from harmony_lit.model.lean import rms_norm
from harmony_lit.model.text import Text


def sinusoidal_embedding(t: Tensor, dim: int, max_period: float = 10_000.0) -> Tensor:
    """Cosines then sines of ``t`` at geometric frequencies (as in Wan): any shape -> (..., dim), fp32."""
    half = dim // 2
    freqs = torch.exp(-math.log(max_period) * torch.arange(half, device=t.device, dtype=torch.float32) / half)
    angles = t.float()[..., None] * freqs
    return torch.cat([angles.cos(), angles.sin()], dim=-1)


def modulate(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """AdaLN: ``x * (1 + scale) + shift``, broadcast."""
    return torch.addcmul(shift, x, 1 + scale)


def mask_bias(mask: Tensor) -> Tensor:
    """Boolean mask (True: attend) to an additive bias; a query without a key, whose output is unused, sees all."""
    mask = mask | ~mask.any(dim=-1, keepdim=True)
    return torch.zeros(mask.shape, device=mask.device).masked_fill(~mask, float("-inf"))


def split_heads(x: Tensor, heads: int) -> Tensor:
    """(B, L, D) -> (B, N, L, E)."""
    return rearrange(x, "b l (n e) -> b n l e", n=heads)


def merge_heads(x: Tensor) -> Tensor:
    """(B, N, L, E) -> (B, L, D)."""
    return rearrange(x, "b n l e -> b l (n e)")


class RMSNorm(nn.Module):
    """Root-mean-square norm over the last axis with a learned gain, computed in fp32 and returned in x's dtype."""

    def __init__(self, dim: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """(..., D) -> (..., D)."""
        return rms_norm(x, self.weight, self.eps)


class KeyValue(nn.Module):
    """Key and value projections with RMS norm of the keys over the whole width (Wan's names and layout)."""

    def __init__(self, dim: int, heads: int, source_dim: int | None = None) -> None:
        super().__init__()
        if dim % heads:
            raise ValueError(f"width {dim} is not a multiple of heads {heads}")
        self.heads = heads
        self.k = nn.Linear(source_dim or dim, dim)
        self.v = nn.Linear(source_dim or dim, dim)
        self.norm_k = RMSNorm(dim)

    def project_kv(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, L, Ds) -> normalised keys and values, each (B, N, L, E)."""
        return split_heads(self.norm_k(self.k(x)), self.heads), split_heads(self.v(x), self.heads)


Within = Callable[[Tensor], Tensor]
"""Attention to something more inside a cross-attention: its queries (B, N, L, E) -> what they find, (B, N, L, E)."""


class Attention(KeyValue):
    """Adds queries, with their norm, the attention itself and the output projection."""

    def __init__(
        self,
        dim: int,
        heads: int,
        source_dim: int | None = None,
        zero_init: bool = False,
        backend: AttentionBackend = "auto",
    ) -> None:
        super().__init__(dim, heads, source_dim)
        self.backend: AttentionBackend = backend
        self.q = nn.Linear(dim, dim)
        self.o = nn.Linear(dim, dim)
        self.norm_q = RMSNorm(dim)
        if zero_init:
            nn.init.zeros_(self.o.weight)
            nn.init.zeros_(self.o.bias)

    def project_q(self, x: Tensor) -> Tensor:
        """(B, L, D) -> normalised queries (B, N, L, E)."""
        return split_heads(self.norm_q(self.q(x)), self.heads)

    def attend(self, q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, within: Within | None = None) -> Tensor:
        """Queries, keys and values (B, N, L, E) to the output (B, Lq, D); ``within`` adds before the projection."""
        found = attention(q, k, v, bias, self.backend)
        return self.o(merge_heads(found if within is None else found + within(q)))

    def forward(self, x: Tensor, text: Text, within: Within | None = None) -> Tensor:
        """Cross-attention of x (B, L, D) to a caption, without rotary positions."""
        return self.attend(self.project_q(x), *text.keys_values(self), text.bias, within)


def feed_forward(dim: int, hidden: int) -> nn.Sequential:
    """Linear, tanh-GELU, Linear: keys ``0`` and ``2`` as in Wan."""
    return nn.Sequential(nn.Linear(dim, hidden), nn.GELU(approximate="tanh"), nn.Linear(hidden, dim))
