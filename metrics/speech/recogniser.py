"""The seam of speech recognition: samples in, words out.

Shape legend: S samples.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

from torch import Tensor


class Recogniser(ABC):
    """Writes down what is said. Built in no time; whatever it loads is loaded with the first sound.

    Attributes:
        checkpoint: File name and digest, or hub id, of its weights; empty if it has none.
    """

    checkpoint: str = ""

    @abstractmethod
    def describe(self) -> str:
        """What listens, with every setting that moves its words; the protocol of a number."""

    def missing(self) -> str | None:
        """What it needs and does not have, as in ``needs ...``; None if it can run."""
        return None

    def understands(self, language: str) -> bool:
        """Whether it knows a language, by its code (``en``, ``zh`` ...)."""
        return True

    def spellings(self) -> Mapping[str, str]:
        """Spellings of English words and the one that each stands for, if its checkpoint brings such a list."""
        return {}

    @abstractmethod
    def transcribe(self, waveform: Tensor, sample_rate_hz: int, language: str) -> str:
        """The words in ``waveform`` (S,), samples in [-1, 1], of a language that it understands."""
