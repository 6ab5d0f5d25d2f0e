import pytest

from metrics.speech.normalise import UNSPACED, words


def english(text, spellings=()):
    return words(text, "en", "english", dict(spellings))


def test_english_writes_numbers_contractions_and_titles_one_way():
    assert english("Mr. Smith won't pay twenty-five dollars, uh, will he?") == english(
        "mister smith will not pay $25 will he"
    )
    assert english("colour", {"colour": "color"}.items()) == english("color")
    assert english("colour") != english("color")


def test_english_makes_one_word_of_a_series_of_digits_and_basic_does_not():
    assert english("three seven nine") == ["379"]
    assert words("Three, seven nine!", "en", "basic", {}) == ["three", "seven", "nine"]


def test_other_languages_lose_case_and_punctuation_whatever_is_set():
    for normaliser in ("english", "basic"):
        assert words("Guten Tag, Frau Müller!", "de", normaliser, {}) == ["guten", "tag", "frau", "müller"]


def test_languages_without_spaces_are_read_by_character():
    assert {"zh", "ja"} <= UNSPACED
    assert words("今日は、良い 天気です。", "ja", "english", {}) == list("今日は良い天気です")
    pytest.importorskip("opencc")
    assert words("你好，世界！ OK", "zh", "basic", {}) == [*"你好世界", "o", "k"]


def test_both_scripts_of_chinese_are_one():
    pytest.importorskip("opencc")
    assert words("電腦裡的龍", "zh", "basic", {}) == words("电脑里的龙", "zh", "basic", {})
