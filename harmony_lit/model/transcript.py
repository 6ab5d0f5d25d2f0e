"""Transcript encoder in the manner of F5-TTS: character embeddings refined by ConvNeXt-V2 blocks.

Shape legend: B batch, L characters, D width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from harmony_lit.containers import TokenIds
from harmony_lit.model.layers import sinusoidal_embedding


class GlobalResponseNorm(nn.Module):
    """GRN of ConvNeXt V2 over the sequence axis; masked positions do not count."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.zeros(1, 1, dim))
        self.beta = nn.Parameter(torch.zeros(1, 1, dim))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """x (B, L, D), mask (B, L, 1) of zeros and ones."""
        # The small constant under the root keeps the gradient finite where a sample has no transcript at all.
        energy = ((x * mask).float().square().sum(dim=1, keepdim=True) + 1e-12).sqrt()
        response = energy / (energy.mean(dim=-1, keepdim=True) + 1e-6)
        return self.gamma * (x * response) + self.beta + x


class ConvNeXtV2Block(nn.Module):
    """Depthwise convolution over characters, then a pointwise bottleneck with GRN."""

    def __init__(self, dim: int, hidden: int, kernel: int = 7) -> None:
        super().__init__()
        self.dwconv = nn.Conv1d(dim, dim, kernel, padding=kernel // 2, groups=dim)
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        self.pwconv1 = nn.Linear(dim, hidden)
        self.grn = GlobalResponseNorm(hidden)
        self.pwconv2 = nn.Linear(hidden, dim)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """x (B, L, D), mask (B, L, 1) -> (B, L, D)."""
        y = self.dwconv((x * mask).transpose(1, 2)).transpose(1, 2)
        y = self.grn(nn.functional.gelu(self.pwconv1(self.norm(y))), mask)
        return x + self.pwconv2(y)


class TranscriptEncoder(nn.Module):
    """Characters (or pinyin letters) to ``e_speech``.

    Args:
        vocab_size: Number of character ids; 0 is padding.
        width: Width D of the embeddings (512 in F5-TTS).
        layers: ConvNeXt-V2 blocks (4 in F5-TTS).
    """

    def __init__(self, vocab_size: int, *, width: int = 512, layers: int = 4) -> None:
        super().__init__()
        self.width = width
        self.embedding = nn.Embedding(vocab_size, width, padding_idx=0)
        self.blocks = nn.ModuleList(ConvNeXtV2Block(width, 2 * width) for _ in range(layers))

    def forward(self, tokens: TokenIds) -> Tensor:
        """(B, L) ids -> (B, L, D)."""
        mask = tokens.mask.unsqueeze(-1).to(self.embedding.weight.dtype)
        position = torch.arange(tokens.ids.shape[1], device=tokens.ids.device)
        x = self.embedding(tokens.ids) + sinusoidal_embedding(position, self.width).to(mask.dtype)
        for block in self.blocks:
            x = block(x, mask)
        return x * mask
