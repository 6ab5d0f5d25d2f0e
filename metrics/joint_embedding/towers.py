"""ImageBind's towers for picture, sound and text (Girdhar et al. 2023): transformers into one joint space.

Shape legend: B inputs, L tokens, D width of a tower, E width of the joint space.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import OrderedDict
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

FRAMES, SIZE = 2, 224
"""Frames, and their rows and columns, that the picture's tower sees at once."""
MEL_BANDS, MEL_FRAMES = 128, 204
"""Rows and columns of the spectrogram that the sound's tower hears at once."""
CONTEXT = 77
"""Tokens of a text."""
_VISION_PATCH = (FRAMES, 14, 14)
_AUDIO_PATCH, _AUDIO_STRIDE = 16, 10


@dataclass(frozen=True)
class TowerSize:
    """What differs between ImageBind's published and smaller towers.

    Attributes:
        width: D.
        depth: Blocks.
        joint: E.
        heads: Attention heads.
        vocabulary: Tokens that the text's tower knows.
    """

    width: int
    depth: int
    joint: int
    heads: int
    vocabulary: int = 0


class Block(nn.Module):
    """A pre-norm transformer block; with ``extra_key``, every token also sees a learnt one."""

    def __init__(self, width: int, heads: int, extra_key: bool) -> None:
        super().__init__()
        self.attn = nn.MultiheadAttention(width, heads, add_bias_kv=extra_key, batch_first=True)
        self.norm_1 = nn.LayerNorm(width, eps=1e-6)
        layers = {"fc1": nn.Linear(width, 4 * width), "act": nn.GELU(), "fc2": nn.Linear(4 * width, width)}
        self.mlp = nn.Sequential(OrderedDict(layers))
        self.norm_2 = nn.LayerNorm(width, eps=1e-6)

    def forward(self, x: Tensor, hidden: Tensor | None) -> Tensor:
        """(B, L, D) -> (B, L, D); ``hidden`` (L, L) is True where a row must not see a column."""
        normed = self.norm_1(x)
        x = x + self.attn(normed, normed, normed, attn_mask=hidden, need_weights=False)[0]
        return x + self.mlp(self.norm_2(x))


class Tower(nn.Module, ABC):
    """Embeds one modality; subclasses say how tokens are made and which of them is read.

    Args:
        size: Widths, depth and heads.
        tokens: L.
        extra_key: See ``Block``.
    """

    def __init__(self, size: TowerSize, tokens: int, extra_key: bool = False) -> None:
        super().__init__()
        self.positions = nn.Parameter(torch.zeros(1, tokens, size.width))
        self.blocks = nn.ModuleList(Block(size.width, size.heads, extra_key) for _ in range(size.depth))
        self.norm_out = nn.LayerNorm(size.width, eps=1e-6)
        self.project = nn.Linear(size.width, size.joint, bias=False)

    @abstractmethod
    def embed(self, x: Tensor) -> Tensor:
        """Inputs of the modality -> tokens (B, L, D)."""

    def hidden(self, x: Tensor) -> Tensor | None:
        """(L, L), True where a token must not see another; None if all see all."""
        return None

    def read(self, x: Tensor, tokens: Tensor) -> Tensor:
        """The token that stands for an input: (B, L, D) -> (B, D)."""
        return tokens[:, 0]

    def forward(self, x: Tensor) -> Tensor:
        """Inputs of the modality -> (B, E) of unit length."""
        tokens, hidden = self.embed(x), self.hidden(x)
        for block in self.blocks:
            tokens = block(tokens, hidden)
        return functional.normalize(self.project(self.norm_out(self.read(x, tokens))), dim=-1)


class VisionTower(Tower):
    """Pairs of frames (B, 3, 2, 224, 224), normalised as CLIP's."""

    def __init__(self, size: TowerSize) -> None:
        super().__init__(size, 1 + (SIZE // _VISION_PATCH[1]) ** 2)
        self.class_token = nn.Parameter(torch.zeros(1, 1, size.width))
        self.patches = nn.Conv3d(3, size.width, _VISION_PATCH, _VISION_PATCH, bias=False)
        self.norm_in = nn.LayerNorm(size.width, eps=1e-6)

    def embed(self, x: Tensor) -> Tensor:
        """See the base."""
        patches = self.patches(x).flatten(2).transpose(1, 2)
        return self.norm_in(torch.cat([self.class_token.expand(len(x), -1, -1), patches], dim=1) + self.positions)


class AudioTower(Tower):
    """Normalised log mels (B, 1, 128, 204) of two seconds."""

    def __init__(self, size: TowerSize) -> None:
        rows, columns = ((side - _AUDIO_PATCH) // _AUDIO_STRIDE + 1 for side in (MEL_BANDS, MEL_FRAMES))
        super().__init__(size, 1 + rows * columns, extra_key=True)
        self.class_token = nn.Parameter(torch.zeros(1, 1, size.width))
        self.patches = nn.Conv2d(1, size.width, _AUDIO_PATCH, _AUDIO_STRIDE, bias=False)
        self.norm_patches = nn.LayerNorm(size.width)

    def embed(self, x: Tensor) -> Tensor:
        """See the base."""
        patches = self.norm_patches(self.patches(x).flatten(2).transpose(1, 2))
        return torch.cat([self.class_token.expand(len(x), -1, -1), patches], dim=1) + self.positions


class TextTower(Tower):
    """Tokens (B, 77) of CLIP's vocabulary; the end of the text, its highest number, is read."""

    def __init__(self, size: TowerSize) -> None:
        super().__init__(size, CONTEXT)
        self.tokens = nn.Embedding(size.vocabulary, size.width)

    def embed(self, x: Tensor) -> Tensor:
        """See the base."""
        return self.tokens(x) + self.positions

    def hidden(self, x: Tensor) -> Tensor:
        """A token sees those before it."""
        return torch.ones(CONTEXT, CONTEXT, dtype=torch.bool, device=x.device).triu(1)

    def read(self, x: Tensor, tokens: Tensor) -> Tensor:
        """See the base."""
        return tokens[torch.arange(len(x), device=x.device), x.argmax(dim=-1)]
