from itertools import product

import numpy as np
import pytest

from data.world.cast import MATERIALS, SHAPES, SIZES, Thing
from data.world.sounds import PEAK, STRIKE_S, strike_sound, strike_track

THINGS = [Thing(*names) for names in product(MATERIALS, SHAPES, SIZES)]


@pytest.mark.parametrize("thing", THINGS, ids=lambda thing: thing.name)
def test_strikes_start_at_once_and_die_away(thing):
    sound = np.abs(strike_sound(thing, 16_000))
    assert sound.max() == pytest.approx(PEAK)
    assert sound[:400].max() > 0.5 * PEAK
    assert sound[-1600:].max() < 0.01


@pytest.mark.parametrize("material", MATERIALS)
def test_small_things_sound_an_octave_higher(material):
    def lowest_partial_hz(size):
        sound = strike_sound(Thing(material, "block", size), 16_000)[800:]
        spectrum = np.abs(np.fft.rfft(sound * np.hanning(len(sound)), 1 << 16))
        strong = np.flatnonzero(spectrum > 0.5 * spectrum.max())
        first = strong[0] + spectrum[strong[0] : strong[0] + 60].argmax()
        return first * 16_000 / (1 << 16)

    assert lowest_partial_hz("small") / lowest_partial_hz("large") == pytest.approx(2, rel=0.08)


def test_no_two_things_sound_alike():
    spectra = []
    for thing in THINGS:
        spectrum = np.abs(np.fft.rfft(strike_sound(thing, 16_000)))
        spectra.append(spectrum / np.linalg.norm(spectrum))
    likeness = np.stack(spectra) @ np.stack(spectra).T - np.eye(len(THINGS))
    assert likeness.max() < 0.95


def test_a_strike_near_the_end_is_cut():
    track = strike_track(THINGS[0], np.array([0.1, 0.9]), 16_000, 16_000)
    whole = strike_sound(THINGS[0], 16_000)
    np.testing.assert_array_equal(track[1600 : 1600 + 9000], whole[:9000])
    np.testing.assert_array_equal(track[14_400:], whole[:1600])
    assert len(whole) == round(STRIKE_S * 16_000)
