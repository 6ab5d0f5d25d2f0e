"""A caption encoder that needs no download: each word has a fixed random vector.

Shape legend: B captions, L tokens, D embedding width.
"""

from __future__ import annotations

import hashlib
import math
import re
import zlib
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from harmony_lit.containers import TextEmbeds

_END = "</s>"
_POSITION_SCALE = 0.2


class HashTextEncoder:
    """Lower-cased words to Gaussian vectors seeded by the word's CRC-32, plus a faint position code.

    Two words are almost orthogonal, the same word is the same vector everywhere, and the end token closes every
    caption, so that the empty caption is one token long (as with T5).

    Args:
        dim: Width ``D`` of the embeddings; even, as half of the position code are sines and half cosines.
        max_tokens: Most tokens of a caption, the end token included; longer captions are cut.

    Raises:
        ValueError: If ``dim`` is odd or either number is below 2.
    """

    def __init__(self, dim: int = 64, max_tokens: int = 32) -> None:
        if dim < 2 or dim % 2:
            raise ValueError(f"text_encoder.dim must be even and at least 2, not {dim}")
        if max_tokens < 2:
            raise ValueError(f"text_encoder.max_tokens must be at least 2 (a word and the end token), not {max_tokens}")
        self.dim = dim
        self.max_tokens = max_tokens
        self._positions = _position_code(max_tokens, dim)
        self._vectors: dict[str, Tensor] = {}

    @property
    def fingerprint(self) -> str:
        """Hex digest of class and settings."""
        settings = f"{type(self).__name__} v1 dim={self.dim} max_tokens={self.max_tokens} position={_POSITION_SCALE}"
        return hashlib.sha256(settings.encode()).hexdigest()

    def tokens(self, caption: str) -> list[str]:
        """Words of ``caption`` without punctuation, cut to fit, and the end token."""
        words = re.findall(r"\w+(?:'\w+)?", caption.lower())
        return [*words[: self.max_tokens - 1], _END]

    def encode(self, captions: Sequence[str]) -> TextEmbeds:
        """B strings -> embeddings (B, L, D) with zeros behind each caption's end, and their mask (B, L)."""
        return TextEmbeds.padded([self._embed(self.tokens(caption)) for caption in captions], self.dim)

    def release(self) -> None:
        """Holds nothing worth giving back."""

    def _embed(self, words: Sequence[str]) -> Tensor:
        """Words -> (L, D)."""
        return torch.stack([self._vector(word) for word in words]) + self._positions[: len(words)]

    def _vector(self, word: str) -> Tensor:
        """Unit-variance vector (D,) of ``word``."""
        if word not in self._vectors:
            generator = np.random.Generator(np.random.PCG64(zlib.crc32(word.encode())))
            self._vectors[word] = torch.from_numpy(generator.standard_normal(self.dim, dtype=np.float32))
        return self._vectors[word]


def _position_code(length: int, dim: int) -> Tensor:
    """Sines and cosines of the position, (length, dim), small beside the words' unit variance."""
    frequencies = torch.exp(-math.log(1000.0) * torch.arange(dim // 2) / (dim // 2))
    angles = torch.arange(length)[:, None] * frequencies
    return _POSITION_SCALE * torch.cat([angles.sin(), angles.cos()], dim=1)
