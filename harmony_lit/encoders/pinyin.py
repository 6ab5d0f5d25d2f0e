"""Transcripts in English, Chinese or both to ids: Chinese by pinyin syllables, everything else by characters.

The scheme is that of F5-TTS (arXiv 2410.06885, Sec. 3.1): a character vocabulary in which a Chinese character is its
full pinyin with the tone as spoken, preceded by a space.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import re
import string
import unicodedata
from collections.abc import Iterator
from pathlib import Path

from harmony_lit.encoders.base import TranscriptTokenizer
from harmony_lit.encoders.syllables import syllables
from harmony_lit.errors import UserError

PUNCTUATION = " .,:!?'\"-()&%$/+*=@#"

_HAN = re.compile("([\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]+)")
# As F5-TTS writes them, whatever the vocabulary.
_ALWAYS = str.maketrans({";": ",", "；": ",", "“": '"', "”": '"', "‘": "'", "’": "'"})
# What compatibility forms (NFKC) do not unify. They apply only where the vocabulary lacks the character itself.
_UNIFIED = {
    **dict.fromkeys("。｡．", "."),
    **dict.fromkeys("、､", ","),
    **dict.fromkeys("「」『』《》〈〉«»„", '"'),
    **dict.fromkeys("—–―‑−～~", "-"),
    **dict.fromkeys("【〔[{", "("),
    **dict.fromkeys("】〕]}", ")"),
    **dict.fromkeys("·・‧_|\\", " "),
}


def vocabulary() -> list[str]:
    """The packaged vocabulary: unknown, punctuation, digits, letters of both cases, syllables in five tones."""
    return ["<unk>", *PUNCTUATION, *string.digits, *string.ascii_uppercase, *string.ascii_lowercase, *syllables()]


class PinyinTokenizer(TranscriptTokenizer):
    """Mixed English and Chinese text to ids; ``pip install harmony-lit[text]`` brings pypinyin, which Chinese needs.

    What happens to a transcript, in this order:

    * Runs of white space become one space; semicolons commas; curly quotes straight ones (as in F5-TTS).
    * A run of Chinese characters is read by pypinyin as a whole, so that phrases settle heteronyms (银行 ``yin2
      hang2``, 人行道 ``ren2 xing2 dao4``), and in the tones that are spoken (你好 ``ni2 hao3``). Each syllable is one
      token behind a space; the neutral tone is 5, or no digit where the vocabulary has it so.
    * Any other character that the vocabulary has stays, its case too. Full-width and other compatibility forms become
      plain ones (Ａ A, ， comma), Chinese punctuation its Western like (。 full stop), and accents go.
    * Letters or digits that follow a syllable are set apart by a space.
    * Numbers are not spelled out: digits are tokens, as in F5-TTS. Write 二十 or "twenty" where the reading matters.
    * What is left has the id 1 and is told by ``unknown``.

    Id 0 is padding; the vocabulary's first entry has id 1 and stands for the unknown. F5-TTS's embedding counts just so
    (its row 0 is the filler, its unknown is the space): with its ``vocab.txt``, ids are the rows of its weights. F5-TTS
    divides sentences by jieba rather than pypinyin, so that in rare phrases a reading differs.

    Args:
        vocab: A vocabulary of F5-TTS (``vocab.txt``, one token a line, the first of them the space); the packaged one
            if None.
        max_tokens: Most tokens of a transcript; longer ones are cut.

    Raises:
        UserError: If ``vocab`` is missing or is no such file.
    """

    def __init__(self, vocab: str | None = None, max_tokens: int = 512) -> None:
        if max_tokens < 1:
            raise ValueError(f"tokenizer.max_tokens must be at least 1, not {max_tokens}")
        self.max_tokens = max_tokens
        self._tokens = vocabulary() if vocab is None else read_vocabulary(Path(vocab))
        self._ids = {token: index + 1 for index, token in enumerate(self._tokens)}

    @property
    def vocab_size(self) -> int:
        """Number of ids, padding and unknown included."""
        return len(self._tokens) + 1

    @property
    def fingerprint(self) -> str:
        """Hex digest of vocabulary, length and pypinyin's version, whose dictionary gives the readings."""
        try:
            version = importlib.metadata.version("pypinyin")
        except importlib.metadata.PackageNotFoundError:
            version = "none"
        settings = "\n".join([type(self).__name__, "v1", str(self.max_tokens), version, *self._tokens])
        return hashlib.sha256(settings.encode()).hexdigest()

    def encode(self, transcript: str) -> list[int]:
        """Ids of one transcript; the empty transcript has none.

        Raises:
            UserError: If the transcript is Chinese and pypinyin is not installed.
        """
        return [self._ids.get(token, 1) for token in self.tokens(transcript)[: self.max_tokens]]

    def tokens(self, transcript: str) -> list[str]:
        """The transcript in tokens; characters outside the vocabulary stay what they are."""
        tokens: list[str] = []
        for part in _HAN.split(" ".join(transcript.translate(_ALWAYS).split())):
            if _HAN.match(part):
                for syllable in self._syllables(part):
                    tokens += [syllable] if tokens[-1:] == [" "] else [" ", syllable]
            elif part:
                apart = bool(tokens) and part[0].isalnum()
                tokens += [*([" "] if apart else []), *self._characters(part)]
        return tokens

    def unknown(self, transcript: str) -> list[str]:
        """The characters of a transcript that have no id of their own."""
        return [token for token in self.tokens(transcript) if token not in self._ids]

    def _syllables(self, chinese: str) -> Iterator[str]:
        for syllable in _read_aloud(unicodedata.normalize("NFKC", chinese)):
            neutral = f"{syllable}5"
            yield neutral if neutral in self._ids else syllable

    def _characters(self, text: str) -> Iterator[str]:
        for character in text:
            for form in _forms(character):
                if all(c in self._ids for c in form):
                    yield from form
                    break
            else:
                yield character


def read_vocabulary(path: Path) -> list[str]:
    """The tokens of a ``vocab.txt`` of F5-TTS.

    Raises:
        UserError: If the file is missing or is no such vocabulary.
    """
    if not path.is_file():
        raise UserError(
            f"there is no vocabulary at {path}: F5-TTS publishes one (data/Emilia_ZH_EN_pinyin/vocab.txt in "
            "github.com/SWivid/F5-TTS); leave tokenizer.init_args.vocab out to use the packaged one"
        )
    # Some tokens are characters that str.splitlines would break at.
    tokens = [line.removesuffix("\r") for line in path.read_bytes().decode("utf-8", "replace").split("\n")]
    if tokens[-1] == "":
        tokens.pop()
    if tokens[:1] != [" "] or len(set(tokens)) != len(tokens):
        raise UserError(
            f"{path} is not a vocabulary of F5-TTS: its first line must be a single space and no token may come twice"
        )
    return tokens


def _forms(character: str) -> Iterator[str]:
    """Ways to write a character, the nearest first."""
    yield character
    plain = unicodedata.normalize("NFKC", character)
    yield plain.translate(_ALWAYS)
    yield _UNIFIED.get(character, _UNIFIED.get(plain, character))
    bare = "".join(c for c in unicodedata.normalize("NFKD", character) if not unicodedata.combining(c))
    if bare:
        yield bare


def _read_aloud(chinese: str) -> list[str]:
    """Syllables of a run of Chinese characters, tones as spoken and the neutral one without a digit.

    A character without a reading stays itself.
    """
    try:
        from pypinyin import Style, lazy_pinyin
    except ImportError:
        raise UserError(
            f"the transcript holds Chinese ('{chinese[:8]}'), which needs pypinyin to read: "
            "pip install 'harmony-lit[text]'"
        ) from None
    read = lazy_pinyin(chinese, style=Style.TONE3, tone_sandhi=True)
    return [token for part in read for token in (part if _HAN.match(part) else [part])]
