import sys

import numpy as np
import pytest

from data.world import speech
from data.world.cast import DIGITS, SPEAKERS
from data.world.mouth import mouth_curve, phoneme_opening
from data.world.speech import WORD_GAP_S, Phoneme, Utterance, speak, speak_word


def test_words_are_equally_loud_whoever_says_them():
    loudness = [speak_word(name, word, 16_000).audio.std() for name in SPEAKERS for word in DIGITS]
    np.testing.assert_allclose(loudness, 1 / 6, rtol=0.05)


def test_phonemes_follow_one_another_inside_their_word():
    for word in DIGITS:
        utterance = speak_word("woman", word, 16_000)
        starts, ends = ([getattr(p, name) for p in utterance.phonemes] for name in ("start_s", "end_s"))
        assert ends[:-1] == pytest.approx(starts[1:])
        assert ends[-1] <= len(utterance.audio) / 16_000 + 1e-3
    assert [p.name for p in speak_word("woman", "six", 16_000).phonemes] == ["s", "I", "k", "s"]


def test_phrases_are_words_with_pauses():
    first, second = (speak_word("girl", word, 16_000).audio for word in ("two", "nine"))
    phrase = speak("girl", ["two", "nine"], 16_000)
    pause = round(WORD_GAP_S * 16_000)
    np.testing.assert_array_equal(phrase.audio[: len(first)], first)
    assert not phrase.audio[len(first) : len(first) + pause].any()
    np.testing.assert_array_equal(phrase.audio[len(first) + pause :], second)
    start_s = (len(first) + pause) / 16_000
    assert phrase.phonemes[-1].end_s == pytest.approx(speak_word("girl", "nine", 16_000).phonemes[-1].end_s + start_s)


def test_without_espeak_one_sentence_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    with pytest.raises(ValueError, match=r"pip install 'harmony-lit\[world\]'"):
        speech._Espeak()


def test_vowels_open_the_mouth_and_lips_close_it():
    assert phoneme_opening("aI") == 1
    assert phoneme_opening("i:") < phoneme_opening("V")
    assert phoneme_opening("s") < phoneme_opening("n") < phoneme_opening("u:")
    assert phoneme_opening("m") == 0


def test_the_mouth_moves_with_the_phonemes_of_a_steady_voice():
    audio = np.full(16_000, 0.2, np.float32)
    utterance = Utterance(audio, (Phoneme(0.0, 0.3, "aI"), Phoneme(0.3, 0.6, "m"), Phoneme(0.6, 1.0, "u:")))
    curve = mouth_curve(utterance, start_s=0.4, frames=61, fps=25, sample_rate_hz=16_000)
    middles_s = (np.arange(61) + 0.5) / 25 - 0.4

    def inside(start_s, end_s):
        return curve[(middles_s > start_s + 0.08) & (middles_s < end_s - 0.08)]

    np.testing.assert_allclose(inside(0.0, 0.3), phoneme_opening("aI"), atol=0.02)
    np.testing.assert_allclose(inside(0.3, 0.6), 0, atol=0.02)
    np.testing.assert_allclose(inside(0.6, 1.0), phoneme_opening("u:"), atol=0.02)
    assert curve[middles_s > 1.1].max() < 0.01
