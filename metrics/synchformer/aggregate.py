"""Many tokens become one: a transformer layer whose extra token looks at all of them.

Shape legend: N groups, L tokens of a group, D width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Aggregation(nn.Module):
    """A pre-norm transformer layer over a learnt token and the tokens of a group; what the learnt token becomes.

    It is computed for that token alone, since nothing else of the layer's output is used.

    Args:
        width: D.
        heads: Attention heads.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.self_attn = nn.MultiheadAttention(width, heads, batch_first=True)
        self.linear1 = nn.Linear(width, 4 * width)
        self.linear2 = nn.Linear(4 * width, width)
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)

    def forward(self, tokens: Tensor) -> Tensor:
        """(N, L, D) -> (N, D)."""
        learnt = self.cls_token.expand(len(tokens), -1, -1)
        normed = self.norm1(torch.cat([learnt, tokens], dim=1))
        x = learnt + self.self_attn(normed[:, :1], normed, normed, need_weights=False)[0]
        x = x + self.linear2(F.gelu(self.linear1(self.norm2(x))))
        return x[:, 0]
