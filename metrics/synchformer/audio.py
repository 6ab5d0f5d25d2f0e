"""Synchformer's ears: an audio spectrogram transformer (Gong et al. 2021), then one token for every 0.1 s.

Names of modules are those of the published weights, which are those of ``transformers.ASTModel``.

Shape legend: B segments, M mel bands, T spectrogram frames, f t rows and columns of patches, L = 2 + f t tokens,
D width, H heads, W width of a head.
"""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn.functional import gelu
from torch.nn.functional import scaled_dot_product_attention as attention

from metrics.synchformer.aggregate import Aggregation

MEL_BANDS = 128
"""Rows of a segment's spectrogram."""
MEL_FRAMES = 66
"""Columns of a segment's spectrogram, the last of which is padding."""
_PATCH, _STRIDE = 16, 10
_ROWS, _COLUMNS = ((size - _PATCH) // _STRIDE + 1 for size in (MEL_BANDS, MEL_FRAMES))
_EPS = 1e-12


class AudioAttention(nn.Module):
    """Every token sees every token."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.attention = nn.ModuleDict({name: nn.Linear(width, width) for name in ("query", "key", "value")})
        self.output = nn.ModuleDict({"dense": nn.Linear(width, width)})
        self.heads = heads

    def forward(self, x: Tensor) -> Tensor:
        """(B, L, D) -> (B, L, D)."""
        q, k, v = (
            rearrange(self.attention[name](x), "b l (h w) -> b h l w", h=self.heads)
            for name in ("query", "key", "value")
        )
        return self.output["dense"](rearrange(attention(q, k, v), "b h l w -> b l (h w)"))


class AudioLayer(nn.Module):
    """A pre-norm transformer layer."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.attention = AudioAttention(width, heads)
        self.intermediate = nn.ModuleDict({"dense": nn.Linear(width, 4 * width)})
        self.output = nn.ModuleDict({"dense": nn.Linear(4 * width, width)})
        self.layernorm_before = nn.LayerNorm(width, eps=_EPS)
        self.layernorm_after = nn.LayerNorm(width, eps=_EPS)

    def forward(self, x: Tensor) -> Tensor:
        """(B, L, D) -> (B, L, D)."""
        x = x + self.attention(self.layernorm_before(x))
        return x + self.output["dense"](gelu(self.intermediate["dense"](self.layernorm_after(x))))


class Embeddings(nn.Module):
    """Overlapping patches of a spectrogram, two learnt tokens in front, and where they are."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.distillation_token = nn.Parameter(torch.zeros(1, 1, width))
        self.position_embeddings = nn.Parameter(torch.zeros(1, 2 + _ROWS * _COLUMNS, width))
        self.patch_embeddings = nn.ModuleDict({"projection": nn.Conv2d(1, width, _PATCH, _STRIDE)})

    def forward(self, mels: Tensor) -> Tensor:
        """(B, M, T) -> (B, L, D)."""
        patches = rearrange(self.patch_embeddings["projection"](mels[:, None]), "b d f t -> b (f t) d")
        learnt = torch.cat([self.cls_token, self.distillation_token], dim=1).expand(len(mels), -1, -1)
        return torch.cat([learnt, patches], dim=1) + self.position_embeddings


class SpectrogramTransformer(nn.Module):
    """Embeddings, layers, norm."""

    def __init__(self, width: int, depth: int, heads: int) -> None:
        super().__init__()
        self.embeddings = Embeddings(width)
        self.encoder = nn.ModuleDict({"layer": nn.Sequential(*(AudioLayer(width, heads) for _ in range(depth)))})
        self.layernorm = nn.LayerNorm(width, eps=_EPS)

    def forward(self, mels: Tensor) -> Tensor:
        """(B, M, T) -> (B, L, D)."""
        return self.layernorm(self.encoder["layer"](self.embeddings(mels)))


class AudioEncoder(nn.Module):
    """One token for each column of patches: the frequencies of a moment become one.

    Args:
        width: D.
        depth: Layers.
        heads: H.
    """

    def __init__(self, width: int = 768, depth: int = 12, heads: int = 12) -> None:
        super().__init__()
        self.ast = SpectrogramTransformer(width, depth, heads)
        self.freq_attn_agg = Aggregation(width, heads)

    def forward(self, mels: Tensor) -> Tensor:
        """Normalised log mels (B, 128, 66) -> (B, 6, D)."""
        moments = rearrange(self.ast(mels)[:, 2:], "b (f t) d -> (b t) f d", t=_COLUMNS)
        return rearrange(self.freq_attn_agg(moments), "(b t) d -> b t d", b=len(mels))
