"""Characters of a transcript to ids, for the model's transcript encoder.

Shape legend: B transcripts, L characters.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

import torch

from harmony_lit.containers import TokenIds

VOCABULARY = "abcdefghijklmnopqrstuvwxyz0123456789 .,;:!?'\"-()&%$/"
"""Ids 2 and up, in this order; 0 is padding and 1 any character outside the vocabulary."""

_FIRST, _UNKNOWN = 2, 1


class CharTokenizer:
    """Lower-cased characters of English text; accents are dropped, anything else becomes the unknown id.

    Args:
        max_tokens: Most characters of a transcript; longer ones are cut.
    """

    def __init__(self, max_tokens: int = 512) -> None:
        if max_tokens < 1:
            raise ValueError(f"tokenizer.max_tokens must be at least 1, not {max_tokens}")
        self.max_tokens = max_tokens
        self._ids = {character: index + _FIRST for index, character in enumerate(VOCABULARY)}

    @property
    def vocab_size(self) -> int:
        """Number of ids, padding and unknown included."""
        return len(VOCABULARY) + _FIRST

    def encode(self, transcript: str) -> list[int]:
        """Ids of one transcript, runs of white space as one space; the empty transcript has none."""
        plain = unicodedata.normalize("NFKD", " ".join(transcript.lower().split()))
        kept = [c for c in plain if not unicodedata.combining(c)]
        return [self._ids.get(character, _UNKNOWN) for character in kept[: self.max_tokens]]

    def encode_batch(self, transcripts: Sequence[str]) -> TokenIds:
        """B transcripts -> ids and mask (B, L), padded with 0 to the longest (at least one column)."""
        encoded = [self.encode(transcript) for transcript in transcripts]
        size = max([1, *map(len, encoded)])
        ids = torch.tensor([row + [0] * (size - len(row)) for row in encoded], dtype=torch.long).reshape(-1, size)
        lengths = torch.tensor([len(row) for row in encoded], dtype=torch.long)
        return TokenIds(ids, torch.arange(size)[None] < lengths[:, None])
