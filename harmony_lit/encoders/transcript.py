"""Characters of an English transcript to ids, for the model's transcript encoder."""

from __future__ import annotations

import hashlib
import unicodedata

from harmony_lit.encoders.base import TranscriptTokenizer

VOCABULARY = "abcdefghijklmnopqrstuvwxyz0123456789 .,;:!?'\"-()&%$/"
"""Ids 2 and up, in this order; 0 is padding and 1 any character outside the vocabulary."""

_FIRST, _UNKNOWN = 2, 1


class CharTokenizer(TranscriptTokenizer):
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

    @property
    def fingerprint(self) -> str:
        """Hex digest of the vocabulary and the length."""
        return hashlib.sha256(f"{type(self).__name__} v1 {VOCABULARY} {self.max_tokens}".encode()).hexdigest()

    def encode(self, transcript: str) -> list[int]:
        """Ids of one transcript, runs of white space as one space; the empty transcript has none."""
        plain = unicodedata.normalize("NFKD", " ".join(transcript.lower().split()))
        kept = [c for c in plain if not unicodedata.combining(c)]
        return [self._ids.get(character, _UNKNOWN) for character in kept[: self.max_tokens]]
