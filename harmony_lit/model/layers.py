"""Small layers that every tower uses.

Shape legend: B batch, N heads, L tokens, D width, E head width.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

PLAIN_ATTENTION_MAX_TOKENS = 768


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
    """Boolean mask (True: attend) to an additive bias; a query with no key attends to all, since its output is unused."""
    mask = mask | ~mask.any(dim=-1, keepdim=True)
    return torch.zeros(mask.shape, device=mask.device).masked_fill(~mask, float("-inf"))


def attention(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None = None) -> Tensor:
    """softmax(q k^T / sqrt(E) + bias) v over (B, N, L, E); ``bias`` broadcasts to (B, N, Lq, Lk).

    Short sequences on a CPU take the unfused product, whose backward is about three times faster there than the
    fused kernel's; everything else takes PyTorch's scaled_dot_product_attention and its choice of backend.
    """
    if q.device.type == "cpu" and max(q.shape[2], k.shape[2]) <= PLAIN_ATTENTION_MAX_TOKENS:
        scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)
        if bias is not None:
            scores = scores + bias
        return scores.softmax(dim=-1).to(v.dtype) @ v
    return F.scaled_dot_product_attention(q, k, v, attn_mask=None if bias is None else bias.to(q.dtype))


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
        return F.rms_norm(x.float(), (x.shape[-1],), self.weight, self.eps).to(x.dtype)


class Attention(nn.Module):
    """Query, key, value and output projections with QK RMS norm over the whole width (Wan's names and layout)."""

    def __init__(self, dim: int, heads: int, kv_dim: int | None = None, zero_init: bool = False) -> None:
        super().__init__()
        if dim % heads:
            raise ValueError(f"width {dim} is not a multiple of heads {heads}")
        self.heads = heads
        self.q = nn.Linear(dim, dim)
        self.k = nn.Linear(kv_dim or dim, dim)
        self.v = nn.Linear(kv_dim or dim, dim)
        self.o = nn.Linear(dim, dim)
        self.norm_q = RMSNorm(dim)
        self.norm_k = RMSNorm(dim)
        if zero_init:
            nn.init.zeros_(self.o.weight)
            nn.init.zeros_(self.o.bias)

    def project_q(self, x: Tensor) -> Tensor:
        """(B, L, D) -> normalised queries (B, N, L, E)."""
        return split_heads(self.norm_q(self.q(x)), self.heads)

    def project_kv(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, L, Dkv) -> normalised keys and values, each (B, N, L, E)."""
        return split_heads(self.norm_k(self.k(x)), self.heads), split_heads(self.v(x), self.heads)

    def forward(self, x: Tensor, context: Tensor | None = None, bias: Tensor | None = None) -> Tensor:
        """Attention of x (B, L, D) to ``context`` (B, Lk, Dkv), or to itself, without rotary positions."""
        k, v = self.project_kv(x if context is None else context)
        return self.o(merge_heads(attention(self.project_q(x), k, v, bias)))


def feed_forward(dim: int, hidden: int) -> nn.Sequential:
    """Linear, tanh-GELU, Linear: keys ``0`` and ``2`` as in Wan."""
    return nn.Sequential(nn.Linear(dim, hidden), nn.GELU(approximate="tanh"), nn.Linear(hidden, dim))
