"""Protocol of the caption encoders."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from harmony_lit.containers import TextEmbeds


@runtime_checkable
class TextEncoder(Protocol):
    """Captions to embeddings. The empty caption yields at least one valid token (as T5's end of sequence)."""

    dim: int
    max_tokens: int

    @property
    def fingerprint(self) -> str:
        """Hex digest of class, settings and weights."""
        ...

    def encode(self, captions: Sequence[str]) -> TextEmbeds:
        """B strings -> (B, L, dim) padded to the longest, with its mask."""
        ...
