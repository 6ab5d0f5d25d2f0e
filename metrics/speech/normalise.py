"""What two transcripts must differ in to count as different: Whisper's normalisers, and characters for some languages.

Radford et al. 2022, appendix C: English is brought to one way of writing numbers, contractions and fillers; every other
language loses punctuation and case; languages that set no spaces are compared by character, so that their WER is a
character error rate.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from importlib.util import find_spec
from typing import Literal

Normaliser = Literal["english", "basic"]
"""``english`` writes numbers as digits, so that "three seven" is the one word 37; ``basic`` leaves words alone."""

UNSPACED = frozenset({"ja", "lo", "my", "th", "yue", "zh"})
"""Languages written without spaces between words (Whisper's list)."""
CHINESE = frozenset({"yue", "zh"})


def words(text: str, language: str, normaliser: Normaliser, spellings: Mapping[str, str]) -> list[str]:
    """The words of a transcript that are compared; characters for languages without spaces.

    Args:
        text: A transcript.
        language: Its code. ``english`` is for English only; all others take ``basic``.
        normaliser: Which of Whisper's normalisers.
        spellings: Variants of spelling to the one to count as (``colour`` to ``color``), for ``english``.
    """
    if language in UNSPACED:
        return _clean(language in CHINESE, True)(text).split()
    if language == "en" and normaliser == "english":
        return _english(tuple(sorted(spellings.items())))(text).split()
    return _clean(False, False)(text).split()


def absent_script(language: str) -> str | None:
    """What a language's transcripts need to be compared in one script, or None: Chinese has two."""
    if language in CHINESE and find_spec("opencc") is None:
        return "the package opencc (pip install 'harmony-lit[text]')"
    return None


@cache
def _english(spellings: tuple[tuple[str, str], ...]) -> Callable[[str], str]:
    from transformers.models.whisper.english_normalizer import EnglishTextNormalizer

    return EnglishTextNormalizer(dict(spellings))


@cache
def _clean(chinese: bool, characters: bool) -> Callable[[str], str]:
    from transformers.models.whisper.english_normalizer import BasicTextNormalizer

    basic = BasicTextNormalizer(split_letters=characters)
    if not chinese:
        return basic
    from opencc import OpenCC

    simplify = OpenCC("t2s").convert
    return lambda text: basic(simplify(text))
