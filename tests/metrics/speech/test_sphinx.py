import pickle
from pathlib import Path

import pytest
import torch

from data.media import read_audio
from harmony_lit.errors import UserError
from metrics.base import Score
from metrics.speech import sphinx
from metrics.speech.sphinx import PocketSphinx, silence_pauses
from metrics.speech.wer import WordErrorRate, error_rate

SPEECH = Path(__file__).parents[4] / "shared" / "assets" / "speech"
NEEDED = PocketSphinx().missing()
installed = pytest.mark.skipif(NEEDED is not None, reason=f"needs {NEEDED}")
real_speech = pytest.mark.skipif(not SPEECH.is_dir(), reason="the speech of ../shared/assets is not here")


def said(recogniser, *words, speaker="man"):
    pytest.importorskip("espeakng_loader")
    from data.world.speech import speak

    sound = torch.from_numpy(0.65 * speak(speaker, words, 16_000).audio)
    return recogniser.transcribe(torch.nn.functional.pad(sound, (3000, 3000)), 16_000, "en")


def test_a_missing_package_is_told_before_anything_is_loaded(monkeypatch):
    monkeypatch.setattr(sphinx, "absent_package", lambda name, extra: f"the package {name} ({extra})")
    needed = WordErrorRate(PocketSphinx("digits")).missing()
    assert needed == "the package pocketsphinx (pip install 'harmony-lit[speech]')"


@installed
def test_a_grammar_that_is_not_there_is_told(tmp_path):
    assert PocketSphinx("digits").missing() is None
    assert "no.gram is neither digits nor a JSGF file" in PocketSphinx(str(tmp_path / "no.gram")).missing()


@installed
def test_a_file_that_is_no_grammar_is_the_users_mistake(tmp_path):
    (tmp_path / "bad.gram").write_text("this is no grammar")
    with pytest.raises(UserError, match=r"cannot use the grammar .*bad\.gram"):
        PocketSphinx(str(tmp_path / "bad.gram")).transcribe(torch.zeros(16_000), 16_000, "en")


@installed
def test_the_digits_grammar_hears_digits_and_nothing_else():
    recogniser = PocketSphinx("digits")
    digits = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
    heard = [said(recogniser, *digits[i : i + 2], speaker="woman").split() for i in range(0, 10, 2)]
    assert {word for words in heard for word in words} <= set(digits)
    assert error_rate([word for words in heard for word in words], digits) <= 0.3
    assert recogniser.transcribe(torch.zeros(16_000), 16_000, "en") == ""
    assert recogniser.transcribe(torch.zeros(0), 16_000, "en") == ""
    assert recogniser.understands("en") and not recogniser.understands("zh")


@installed
def test_what_is_heard_depends_on_nothing_heard_before():
    recogniser = PocketSphinx("digits")
    first = [said(recogniser, "nine", "two", speaker="girl"), said(recogniser, "five", "zero")]
    recogniser.transcribe(torch.randn(32_000, generator=torch.Generator().manual_seed(0)), 16_000, "en")
    assert [said(recogniser, "five", "zero"), said(recogniser, "nine", "two", speaker="girl")] == first[::-1]


@installed
def test_the_metric_is_pickled_after_it_has_listened():
    metric = WordErrorRate(PocketSphinx("digits"), "basic")
    heard = said(metric.recogniser, "one", "six")
    assert said(pickle.loads(pickle.dumps(metric)).recogniser, "one", "six") == heard


@installed
@real_speech
def test_a_sentence_read_aloud_is_understood_but_for_one_word():
    sound = read_audio(SPEECH / "sense_and_sensibility_01_austen_64kb-0930.wav")
    heard = PocketSphinx().transcribe(sound, 16_000, "en")
    said = "he might even have been made amiable himself"
    assert WordErrorRate().score(heard, said, "en") == Score(1 / 8, 8)


def test_pauses_become_silence_and_words_stay_as_they_are():
    word = torch.sin(torch.arange(3200) / 5)
    hiss = 1e-3 * torch.randn(6410, generator=torch.Generator().manual_seed(0))
    sound = hiss.clone()
    sound[1600:4800] += word
    quiet = silence_pauses(sound)
    assert not quiet[: 1600 - 320].any() and not quiet[4800 + 320 :].any()
    assert quiet[1600 - 320 : 4800 + 320].equal(sound[1600 - 320 : 4800 + 320])
    assert silence_pauses(torch.zeros(500)).equal(torch.zeros(500))
