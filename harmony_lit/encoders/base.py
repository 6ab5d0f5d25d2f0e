"""What turns words into numbers: caption encoders (a protocol) and transcript tokenizers (a base class).

Shape legend: B captions or transcripts, L tokens, D embedding width.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import torch

from harmony_lit.containers import TextEmbeds, TokenIds


@runtime_checkable
class TextEncoder(Protocol):
    """Captions to embeddings. The empty caption yields at least one valid token (as T5's end of sequence)."""

    dim: int
    max_tokens: int

    @property
    def fingerprint(self) -> str:
        """Hex digest of class, settings and weights: two encoders of one fingerprint give the same embeddings."""
        ...

    def encode(self, captions: Sequence[str]) -> TextEmbeds:
        """B strings -> float32 (B, L, D) on the CPU, zeros behind each caption's end, with its mask."""
        ...

    def release(self) -> None:
        """Says that no caption is expected for a while: memory that others need may be given back."""
        ...


class TranscriptTokenizer(ABC):
    """Transcripts to the ids that the model's transcript encoder embeds; id 0 is padding.

    Latent shards keep transcripts as text, so another tokenizer makes no latents stale; a trained model, whose
    embedding belongs to the ids, does need the tokenizer that it was trained with (it is part of the run's config).
    """

    max_tokens: int

    @property
    @abstractmethod
    def vocab_size(self) -> int:
        """Number of ids, padding and unknown included."""

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """Hex digest of all that decides the ids."""

    @abstractmethod
    def encode(self, transcript: str) -> list[int]:
        """Ids of one transcript, at most ``max_tokens``; the empty transcript has none."""

    def encode_batch(self, transcripts: Sequence[str]) -> TokenIds:
        """B transcripts -> ids and mask (B, L), padded with 0 to the longest (at least one column)."""
        encoded = [self.encode(transcript) for transcript in transcripts]
        size = max([1, *map(len, encoded)])
        ids = torch.tensor([row + [0] * (size - len(row)) for row in encoded], dtype=torch.long).reshape(-1, size)
        lengths = torch.tensor([len(row) for row in encoded], dtype=torch.long)
        return TokenIds(ids, torch.arange(size)[None] < lengths[:, None])
