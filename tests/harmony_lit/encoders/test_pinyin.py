"""Mixed English and Chinese transcripts become syllables and characters."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from harmony_lit.encoders.base import TranscriptTokenizer
from harmony_lit.encoders.pinyin import PinyinTokenizer, vocabulary
from harmony_lit.encoders.transcript import CharTokenizer
from harmony_lit.errors import UserError


def spoken(transcript: str) -> str:
    """Tokens with a bar between, so that spaces are seen."""
    return "|".join(PinyinTokenizer().tokens(transcript))


def syllables_of(transcript: str) -> list[str]:
    """What is left without spaces."""
    return [token for token in PinyinTokenizer().tokens(transcript) if token != " "]


@pytest.mark.parametrize("tokenizer", [CharTokenizer(), PinyinTokenizer()])
def test_empty_transcript_has_no_valid_token_and_one_column(tokenizer: TranscriptTokenizer):
    assert tokenizer.encode("") == tokenizer.encode("  \n ") == []
    tokens = tokenizer.encode_batch(["", "red moon"])
    assert tokens.mask.sum(1).tolist() == [0, 8]
    assert tokens.ids[0].tolist() == [0] * 8
    assert tokenizer.encode_batch([""]).ids.shape == (1, 1)


@pytest.mark.parametrize("tokenizer", [CharTokenizer(max_tokens=5), PinyinTokenizer(max_tokens=5)])
def test_long_transcripts_are_cut(tokenizer: TranscriptTokenizer):
    assert len(tokenizer.encode("The quick brown fox.")) == 5


def test_english_is_read_by_characters_with_its_case():
    text = "Dr. Smith's train leaves at 7:45!"
    assert "".join(PinyinTokenizer().tokens(text)) == text
    assert PinyinTokenizer().unknown(text) == []


@pytest.mark.parametrize(
    ("transcript", "expected"),
    [
        ("今天天气真好。", "jin1 tian1 tian1 qi4 zhen1 hao3 ."),
        ("银行的行长在散步", "yin2 hang2 de5 hang2 zhang3 zai4 san4 bu4"),
        ("他在人行道上步行", "ta1 zai4 ren2 xing2 dao4 shang4 bu4 xing2"),
        ("重庆很重要", "chong2 qing4 hen3 zhong4 yao4"),
        ("听音乐很快乐", "ting1 yin1 yue4 hen3 kuai4 le4"),
        ("孩子长大了", "hai2 zi5 zhang3 da4 le5"),
        ("女律师", "nv3 lv4 shi1"),
    ],
)
def test_phrases_settle_how_chinese_is_read(transcript, expected):
    assert syllables_of(transcript) == expected.split()


def test_tones_are_those_spoken():
    assert syllables_of("你好") == ["ni2", "hao3"]
    assert syllables_of("不是一个") == ["bu2", "shi4", "yi2", "ge4"]


def test_each_syllable_follows_one_space_and_letters_after_it_stand_apart():
    assert spoken("你好world") == " |ni2| |hao3| |w|o|r|l|d"
    assert spoken("I love 北京, 2024年") == "I| |l|o|v|e| |bei3| |jing1|,| |2|0|2|4| |nian2"


@pytest.mark.parametrize(
    ("transcript", "plain"),
    [
        ("ＡＢＣ，１２３！", "ABC,123!"),
        ("“Well…” she said; ‘no’。", "\"Well...\" she said, 'no'."),
        ("《书名》、【注】", None),
        ("café — naïve", "cafe - naive"),
        ("a\u00a0b\tc\n d", "a b c d"),
        ("ﬁne 5㎏", "fine 5kg"),
    ],
)
def test_punctuation_and_widths_are_unified(transcript, plain):
    tokenizer = PinyinTokenizer()
    assert tokenizer.unknown(transcript) == []
    if plain is not None:
        assert tokenizer.encode(transcript) == tokenizer.encode(plain)


def test_unknown_characters_have_the_id_one_and_are_told():
    tokenizer = PinyinTokenizer()
    transcript = "hi ☃ 你 привет"
    assert tokenizer.unknown(transcript) == ["☃", *"привет"]
    assert tokenizer.encode(transcript).count(1) == 7
    assert tokenizer.unknown("好㗎𠮶") == ["㗎", "𠮶"]  # Cantonese, which pinyin does not read


def test_every_common_character_in_every_reading_has_an_id():
    pypinyin = pytest.importorskip("pypinyin")
    characters = [
        bytes([row, cell]).decode("gb2312", "ignore") for row in range(0xB0, 0xF8) for cell in range(0xA1, 0xFF)
    ]
    readings = pypinyin.pinyin(characters, style=pypinyin.Style.TONE3, heteronym=True, neutral_tone_with_five=True)
    assert len(readings) == 6763
    assert {reading for many in readings for reading in many} - set(vocabulary()) == set()


def test_ids_are_dense_and_the_vocabulary_has_no_doubles():
    tokens = vocabulary()
    assert len(set(tokens)) == len(tokens)
    tokenizer = PinyinTokenizer()
    assert tokenizer.encode("/")[0] == tokens.index("/") + 1
    assert max(tokenizer.encode("做坐左zZ")) < tokenizer.vocab_size == len(tokens) + 1


def write_f5(path: Path, tokens: list[str]) -> str:
    path.write_bytes("".join(f"{token}\n" for token in tokens).encode())
    return str(path)


def test_a_vocabulary_of_f5_tts_gives_its_rows(tmp_path):
    tokens = [" ", "!", ",", "，", "。", "\u0085", "a", "b", "de", "hao3", "ni2", "wo3", "é"]
    tokenizer = PinyinTokenizer(write_f5(tmp_path / "vocab.txt", tokens))
    row = {token: index for index, token in enumerate(tokens)}
    said = tokenizer.tokens("你好，ab。我的é")
    assert said == [" ", "ni2", " ", "hao3", "，", "a", "b", "。", " ", "wo3", " ", "de", " ", "é"]
    assert tokenizer.encode("你好，ab。我的é") == [row[token] + 1 for token in said]  # row 0 of its embedding is filler
    assert tokenizer.encode("x") == tokenizer.encode(" x")[:1] == [1]  # F5-TTS: the unknown is the space
    assert tokenizer.vocab_size == len(tokens) + 1


@pytest.mark.parametrize("tokens", [["a", "b"], [" ", "a", "a"], []])
def test_files_that_are_no_vocabulary_are_refused(tmp_path, tokens):
    with pytest.raises(UserError, match="not a vocabulary of F5-TTS"):
        PinyinTokenizer(write_f5(tmp_path / "vocab.txt", tokens))


def test_a_missing_vocabulary_names_its_publisher(tmp_path):
    with pytest.raises(UserError, match=r"no vocabulary at .*SWivid/F5-TTS"):
        PinyinTokenizer(str(tmp_path / "vocab.txt"))


def test_without_pypinyin_english_works_and_chinese_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "pypinyin", None)
    assert PinyinTokenizer().unknown("red moon") == []
    with pytest.raises(UserError, match=r"pypinyin.*pip install"):
        PinyinTokenizer().encode("red 月亮")


def test_what_changes_the_ids_changes_the_fingerprint(tmp_path):
    f5 = write_f5(tmp_path / "vocab.txt", [" ", "a"])
    tokenizers = [
        CharTokenizer(),
        CharTokenizer(8),
        PinyinTokenizer(),
        PinyinTokenizer(f5),
        PinyinTokenizer(max_tokens=8),
    ]
    assert len({tokenizer.fingerprint for tokenizer in tokenizers}) == len(tokenizers)
    assert PinyinTokenizer().fingerprint == PinyinTokenizer().fingerprint
