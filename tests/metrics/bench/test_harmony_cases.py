"""The 150 cases that come with the package: as many of each kind as is said, well formed, no two alike."""

import dataclasses
import re
from collections import Counter
from itertools import combinations

import pytest

from harmony_lit.cli.cases import read_case_file
from harmony_lit.encoders.transcript import VOCABULARY
from metrics.bench.cases import SHIPPED, BenchCase, balanced, read_cases, write_cases

CASES = read_cases("harmony")
SPOKEN = [case for case in CASES if case.category != "ambient"]
TEXTS = ("video_caption", "audio_caption", "transcript", "image_prompt", "voice_prompt")
HAN = re.compile(r"[\u4e00-\u9fff]")


def of(category: str, language: str = "en") -> list[BenchCase]:
    return [case for case in CASES if case.category == category and case.language == language]


def words(text: str) -> list[str]:
    return re.findall(r"[a-z0-9'-]+", text.lower())


def pieces(text: str) -> set[str]:
    """What two texts are compared by: words, and pairs of neighbouring characters of Chinese."""
    han = "".join(HAN.findall(text))
    return {han[i : i + 2] for i in range(len(han) - 1)} if han else set(words(text))


def likeness(one: set[str], other: set[str]) -> float:
    """Jaccard index of two texts' pieces."""
    return len(one & other) / len(one | other)


def test_likeness_tells_a_changed_word_from_another_sentence():
    assert likeness(pieces("A dog barks twice."), pieces("a dog barks once")) == pytest.approx(3 / 5)
    assert likeness(pieces("妈妈回来了"), pieces("妈妈回家了")) == pytest.approx(2 / 6)
    assert likeness(pieces("a dog"), pieces("the cat")) == 0


def test_there_are_fifty_of_each_category_and_both_languages_half_and_half():
    kinds = Counter((case.category, case.language) for case in CASES)
    assert kinds == {
        ("ambient", "en"): 50,
        ("speech", "en"): 25,
        ("speech", "zh"): 25,
        ("complex", "en"): 25,
        ("complex", "zh"): 25,
    }


def test_keys_name_category_language_number_and_subject_and_seeds_are_the_order():
    assert [case.seed for case in CASES] == list(range(150))
    for category, language in (("ambient", ""), *((c, x) for c in ("speech", "complex") for x in ("_en", "_zh"))):
        keys = [case.key for case in of(category, language[1:] or "en")]
        for number, key in enumerate(keys, start=1):
            assert re.fullmatch(rf"{category}{language}_{number:02d}(_[a-z]+)+", key)
    subjects = [re.sub(r"^\D+_\d\d_", "", case.key) for case in CASES]
    assert len(set(subjects)) == len(CASES)


@pytest.mark.parametrize("per_category", [2, 4, 10])
def test_any_even_number_of_each_category_has_both_languages_and_both_kinds_of_faces_equally(per_category):
    chosen = balanced(CASES, per_category)
    for category in ("speech", "complex"):
        languages = [case.language for case in chosen if case.category == category]
        assert languages.count("en") == languages.count("zh") == per_category / 2
    photographs = [case.image_prompt.startswith("Photograph") for case in chosen if case.category == "speech"]
    assert photographs.count(True) == photographs.count(False)


def test_each_category_has_the_texts_that_it_is_about_and_no_file():
    about = {
        "ambient": {"video_caption", "audio_caption"},
        "speech": {"video_caption", "transcript", "image_prompt", "voice_prompt"},
        "complex": {"video_caption", "audio_caption", "transcript", "voice_prompt"},
    }
    for case in CASES:
        assert {name for name in TEXTS if getattr(case, name)} == about[case.category], case.key
        assert (case.reference_image, case.reference_audio, case.truth, case.attributes) == (None, None, None, {})


def test_half_of_the_faces_are_photographs_in_each_language_as_nearly_as_may_be():
    photographs = Counter(c.language for c in CASES if c.image_prompt.startswith("Photograph of a"))
    assert photographs == {"en": 13, "zh": 12}


def test_captions_are_plain_english_of_the_stated_lengths():
    limits = {"video_caption": (15, 45), "audio_caption": (6, 25), "image_prompt": (15, 45), "voice_prompt": (5, 15)}
    for case in CASES:
        for name, (fewest, most) in limits.items():
            text = getattr(case, name)
            assert text.isascii(), (case.key, name)
            assert text == " ".join(text.split()), (case.key, name)
            assert not text or (text.endswith(".") and text[0] == text[0].upper()), (case.key, name)
            assert not text or fewest <= len(words(text)) <= most, (case.key, name, len(words(text)))


def test_english_transcripts_are_eight_to_fourteen_words_that_every_tokenizer_knows():
    for case in SPOKEN:
        if case.language == "en":
            assert 8 <= len(words(case.transcript)) <= 14, case.key
            assert set(case.transcript.lower()) <= set(VOCABULARY), case.key
            assert not re.search(r"\d", case.transcript), case.key


def test_chinese_transcripts_are_twelve_to_twenty_two_characters_and_nothing_but_chinese():
    for case in SPOKEN:
        if case.language == "zh":
            assert 12 <= len(HAN.findall(case.transcript)) <= 22, case.key
            assert set(HAN.sub("", case.transcript)) <= set("，。！？、"), case.key


def test_no_transcript_has_a_token_that_the_mixed_tokenizer_does_not_know():
    pytest.importorskip("pypinyin")
    from harmony_lit.encoders.pinyin import PinyinTokenizer

    tokenizer = PinyinTokenizer()
    assert {case.key: tokenizer.unknown(case.transcript) for case in SPOKEN if tokenizer.unknown(case.transcript)} == {}


def test_both_languages_state_ask_and_exclaim():
    for language in ("en", "zh"):
        transcripts = [case.transcript for case in SPOKEN if case.language == language]
        for mark, fewest in (("[.。]", 20), ("[?？]", 5), ("[!！]", 8)):
            assert sum(bool(re.search(mark, text)) for text in transcripts) >= fewest, (language, mark)


@pytest.mark.parametrize("name", TEXTS)
def test_no_two_texts_of_a_kind_are_nearly_the_same(name):
    texts = {case.key: pieces(getattr(case, name)) for case in CASES if getattr(case, name)}
    alike = [(a, b) for a, b in combinations(texts, 2) if likeness(texts[a], texts[b]) >= 0.5]
    assert alike == []


def test_no_caption_gives_the_transcript_away():
    for case in SPOKEN:
        assert case.transcript.strip(".!?。！？").lower() not in case.video_caption.lower(), case.key
        assert not set('"<>') & set(case.video_caption), case.key


def test_the_table_is_what_is_written_when_it_is_read(tmp_path):
    write_cases(CASES, tmp_path / "again.jsonl")
    assert (tmp_path / "again.jsonl").read_bytes() == SHIPPED["harmony"].read_bytes()


def test_sampling_reads_the_table_as_its_own_cases():
    told = read_case_file(SHIPPED["harmony"])
    for case, asked in zip(CASES, told, strict=True):
        assert dataclasses.asdict(asked) == {
            "key": case.key,
            "prompt": case.video_caption,
            "audio_prompt": case.audio_caption,
            "transcript": case.transcript,
            "seed": case.seed,
            **dict.fromkeys(("reference_audio", "image", "audio", "video", "frames")),
        }
