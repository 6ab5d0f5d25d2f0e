"""Synchformer's eyes: a vision transformer whose attention is divided into time and space (Bertasius et al. 2021).

Names of modules are those of the published weights.

Shape legend: B segments, T frames, F time steps of two frames, N patches of a step, L = 1 + F N tokens, D width,
H heads, W width of a head.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
from einops import rearrange, repeat
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention as attention

from metrics.synchformer.aggregate import Aggregation

FRAMES = 16
"""Frames of a segment."""
SIZE = 224
"""Rows and columns of a frame."""
_PATCH = 16
_PATCH_FRAMES = 2
_STEPS = FRAMES // _PATCH_FRAMES
_PATCHES = (SIZE // _PATCH) ** 2


class DividedAttention(nn.Module):
    """Attention among the patches of a time step, or among the time steps of a patch; the class token sees all.

    Args:
        width: D.
        heads: H.
        group: Axis along which tokens do not see each other: ``f`` (space) or ``n`` (time).
    """

    def __init__(self, width: int, heads: int, group: str) -> None:
        super().__init__()
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        self.heads = heads
        among = "n" if group == "f" else "f"
        self._whole, self._divided = "b h (f n) w", f"b {group} h {among} w"

    def forward(self, x: Tensor) -> Tensor:
        """(B, L, D) -> (B, L, D)."""
        q, k, v = rearrange(self.qkv(x), "b l (three h w) -> three b h l w", three=3, h=self.heads)
        seen_by_class = attention(q[:, :, :1], k, v)
        queries, keys, values = (self._divide(t[:, :, 1:]) for t in (q, k, v))
        keys, values = (
            torch.cat([repeat(t[:, :, :1], "b h 1 w -> b g h 1 w", g=divided.shape[1]), divided], dim=-2)
            for t, divided in ((k, keys), (v, values))
        )
        seen = rearrange(attention(queries, keys, values), f"{self._divided} -> {self._whole}")
        return self.proj(rearrange(torch.cat([seen_by_class, seen], dim=2), "b h l w -> b l (h w)"))

    def _divide(self, tokens: Tensor) -> Tensor:
        return rearrange(tokens, f"{self._whole} -> {self._divided}", n=_PATCHES)


class DividedBlock(nn.Module):
    """Time attention, space attention, MLP; each behind its norm and added to its input."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attn = DividedAttention(width, heads, group="f")
        self.timeattn = DividedAttention(width, heads, group="n")
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        layers = {"fc1": nn.Linear(width, 4 * width), "act": nn.GELU(), "fc2": nn.Linear(4 * width, width)}
        self.mlp = nn.Sequential(OrderedDict(layers))
        self.norm3 = nn.LayerNorm(width, eps=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        """(B, L, D) -> (B, L, D)."""
        x = x + self.timeattn(self.norm3(x))
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class VideoEncoder(nn.Module):
    """One token for every two frames of a segment.

    Args:
        width: D.
        depth: Blocks.
        heads: H.
    """

    def __init__(self, width: int = 768, depth: int = 12, heads: int = 12) -> None:
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + _PATCHES, width))
        self.temp_embed = nn.Parameter(torch.zeros(1, _STEPS, width))
        # Published, never used: patches of single frames.
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv2d(3, width, _PATCH, _PATCH)})
        patch = (_PATCH_FRAMES, _PATCH, _PATCH)
        self.patch_embed_3d = nn.ModuleDict({"proj": nn.Conv3d(3, width, patch, patch)})
        self.blocks = nn.ModuleList(DividedBlock(width, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.spatial_attn_agg = Aggregation(width, heads)

    def forward(self, frames: Tensor) -> Tensor:
        """Frames (B, 16, 3, 224, 224) in [-1, 1] -> (B, 8, D)."""
        patches = self.patch_embed_3d["proj"](rearrange(frames, "b t c h w -> b c t h w"))
        where = rearrange(self.pos_embed[:, 1:], "1 n d -> 1 1 n d") + rearrange(self.temp_embed, "1 f d -> 1 f 1 d")
        tokens = rearrange(patches, "b d f h w -> b f (h w) d") + where
        learnt = (self.cls_token + self.pos_embed[:, :1]).expand(len(frames), -1, -1)
        x = torch.cat([learnt, rearrange(tokens, "b f n d -> b (f n) d")], dim=1)
        for block in self.blocks:
            x = block(x)
        steps = rearrange(self.norm(x[:, 1:]), "b (f n) d -> (b f) n d", n=_PATCHES)
        return rearrange(self.spatial_attn_agg(steps), "(b f) d -> b f d", b=len(frames))
