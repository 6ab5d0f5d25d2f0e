"""Small layers that every tower uses.

Shape legend: B batch, N heads, L tokens, D width, E head width.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

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
    """Boolean mask (True: attend) to an additive bias; a query without a key, whose output is unused, sees all."""
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
            scores = scores + bias.to(scores.dtype)
        return scores.softmax(dim=-1).to(v.dtype) @ v
    return F.scaled_dot_product_attention(q, k, v, attn_mask=None if bias is None else bias.to(q.dtype))


def split_heads(x: Tensor, heads: int) -> Tensor:
    """(B, L, D) -> (B, N, L, E)."""
    return rearrange(x, "b l (n e) -> b n l e", n=heads)


def merge_heads(x: Tensor) -> Tensor:
    """(B, N, L, E) -> (B, L, D)."""
    return rearrange(x, "b n l e -> b l (n e)")


class _FusedRMSNorm(torch.autograd.Function):
    """RMS norm for CPUs, where PyTorch's own is composed of many small kernels and its backward several times slower.

    Sums are in fp32, products in x's own dtype: what autocast gives in bfloat16 stays so, without copies.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=torch.float32)
        inverse = norm.square_().div_(x.shape[-1]).add_(eps).rsqrt_().to(x.dtype)
        weight = weight.to(x.dtype)
        ctx.save_for_backward(x, weight, inverse)
        return (x * inverse).mul_(weight)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor, Tensor, None]:
        x, weight, inverse = ctx.saved_tensors
        grad, unit = grads[0], x * inverse
        product = grad * unit
        grad_weight = product.flatten(0, -2).sum(dim=0, dtype=torch.float32)
        projection = product.mul_(weight).mean(dim=-1, keepdim=True)
        return (grad * weight).sub_(unit.mul_(projection)).mul_(inverse), grad_weight, None


class RMSNorm(nn.Module):
    """Root-mean-square norm over the last axis with a learned gain, computed in fp32 and returned in x's dtype."""

    def __init__(self, dim: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """(..., D) -> (..., D)."""
        if x.device.type == "cpu":
            y: Tensor = _FusedRMSNorm.apply(x, self.weight, self.eps)
            return y
        return F.rms_norm(x.float(), (x.shape[-1],), self.weight, self.eps).to(x.dtype)


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
    """Adds queries, with their norm, and the output projection."""

    def __init__(self, dim: int, heads: int, source_dim: int | None = None, zero_init: bool = False) -> None:
        super().__init__(dim, heads, source_dim)
        self.q = nn.Linear(dim, dim)
        self.o = nn.Linear(dim, dim)
        self.norm_q = RMSNorm(dim)
        if zero_init:
            nn.init.zeros_(self.o.weight)
            nn.init.zeros_(self.o.bias)

    def project_q(self, x: Tensor) -> Tensor:
        """(B, L, D) -> normalised queries (B, N, L, E)."""
        return split_heads(self.norm_q(self.q(x)), self.heads)

    def forward(self, x: Tensor, context: Tensor, bias: Tensor | None = None, within: Within | None = None) -> Tensor:
        """Attention of x (B, L, D) to ``context`` (B, Lk, Ds) without rotary positions; ``within`` adds before o."""
        q, (k, v) = self.project_q(x), self.project_kv(context)
        found = attention(q, k, v, bias)
        return self.o(merge_heads(found if within is None else found + within(q)))


def feed_forward(dim: int, hidden: int) -> nn.Sequential:
    """Linear, tanh-GELU, Linear: keys ``0`` and ``2`` as in Wan."""
    return nn.Sequential(nn.Linear(dim, hidden), nn.GELU(approximate="tanh"), nn.Linear(hidden, dim))
