"""Synchformer's verdict: a small transformer reads what was seen and heard in 14 segments and names the offset.

Names of modules are those of the published weights.

Shape legend: B windows, V = 14 x 8 video tokens, A = 14 x 6 audio tokens, L = V + A + 2 tokens, D width, H heads.
"""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention as attention

SEGMENTS = 14
"""Segments that are compared at once, 4.8 s."""
CLASSES = 21
_TOKENS = SEGMENTS * (8 + 6) + 2


class HeadAttention(nn.Module):
    """Every token sees every token."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.key = nn.Linear(width, width)
        self.query = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.proj = nn.Linear(width, width)
        self.heads = heads

    def forward(self, x: Tensor) -> Tensor:
        """(B, L, D) -> (B, L, D)."""
        q, k, v = (
            rearrange(layer(x), "b l (h w) -> b h l w", h=self.heads) for layer in (self.query, self.key, self.value)
        )
        return self.proj(rearrange(attention(q, k, v), "b h l w -> b l (h w)"))


class HeadBlock(nn.Module):
    """A pre-norm transformer block."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.ln1 = nn.LayerNorm(width)
        self.ln2 = nn.LayerNorm(width)
        self.attn = HeadAttention(width, heads)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        """(B, L, D) -> (B, L, D)."""
        x = x + self.attn(self.ln1(x))
        return x + self.mlp(self.ln2(x))


class Positions(nn.Module):
    """What is added to each token."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.pos_emb = nn.Parameter(torch.zeros(1, _TOKENS, width))


class OffsetHead(nn.Module):
    """Logits of the offset from the tokens of 14 segments.

    Args:
        width: D.
        depth: Blocks.
        heads: H.
    """

    def __init__(self, width: int = 768, depth: int = 3, heads: int = 8) -> None:
        super().__init__()
        self.OFF_tok = nn.Parameter(torch.zeros(1, 1, width))
        self.MOD_tok = nn.Parameter(torch.zeros(1, 1, width))
        self.vis_in_lnorm = nn.LayerNorm(width)
        self.aud_in_lnorm = nn.LayerNorm(width)
        self.pos_emb_cfg = Positions(width)
        self.blocks = nn.Sequential(*(HeadBlock(width, heads) for _ in range(depth)))
        self.ln_f = nn.LayerNorm(width)
        self.off_head = nn.Linear(width, CLASSES)

    def forward(self, video: Tensor, audio: Tensor) -> Tensor:
        """(B, V, D) and (B, A, D) -> (B, 21)."""
        offset, between = (token.expand(len(video), -1, -1) for token in (self.OFF_tok, self.MOD_tok))
        x = torch.cat([offset, self.vis_in_lnorm(video), between, self.aud_in_lnorm(audio)], dim=1)
        return self.off_head(self.ln_f(self.blocks(x + self.pos_emb_cfg.pos_emb)[:, 0]))
