"""Cepstra against python_speech_features' own numbers, and against the textbook, one sum at a time."""

import math
import wave
from pathlib import Path

import numpy as np
import pytest
import torch

from metrics.sync.mfcc import mfcc, whole_samples

SHARED = Path(__file__).parents[4] / "shared"
golden = pytest.mark.skipif(not SHARED.is_dir(), reason="the golden values of ../shared are not here")


def slow_mfcc_frame(samples: np.ndarray, frame: int) -> list[float]:
    """One column, by the formulas."""
    emphasised = [samples[0]] + [samples[n] - 0.97 * samples[n - 1] for n in range(1, len(samples))]
    x = [emphasised[n] if n < len(samples) else 0.0 for n in range(160 * frame, 160 * frame + 400)]
    angle = -2j * math.pi * np.outer(np.arange(257), np.arange(400)) / 512
    power = np.abs(np.exp(angle) @ np.array(x)) ** 2 / 512

    def corner(number: int) -> int:
        mel = number * 2595 * math.log10(1 + 8000 / 700) / 27
        return int(513 * 700 * (10 ** (mel / 2595) - 1) / 16_000)

    bands = []
    for band in range(26):
        low, middle, high = corner(band), corner(band + 1), corner(band + 2)
        up = sum(power[k] * (k - low) / (middle - low) for k in range(low, middle))
        down = sum(power[k] * (high - k) / (high - middle) for k in range(middle, high))
        bands.append(math.log(up + down))
    cepstra = [math.log(power.sum())]
    for c in range(1, 13):
        plain = math.sqrt(2 / 26) * sum(bands[b] * math.cos(math.pi * c * (b + 0.5) / 26) for b in range(26))
        cepstra.append(plain * (1 + 11 * math.sin(math.pi * c / 22)))
    return cepstra


@golden
def test_mfcc_of_a_speech_file_is_that_of_python_speech_features() -> None:
    with wave.open(str(SHARED / "assets" / "speech" / "jfk.wav")) as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), dtype="<i2")
    expected = np.load(SHARED / "golden" / "mfcc_jfk.npy").T
    found = mfcc(samples)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)


def test_mfcc_follows_the_formulas() -> None:
    samples = np.random.default_rng(0).normal(size=1000) * 3000
    found = mfcc(samples)
    assert found.shape == (13, 5)
    for frame in (0, 2, 4):
        np.testing.assert_allclose(found[:, frame], slow_mfcc_frame(samples, frame), rtol=1e-8)


@pytest.mark.parametrize(("samples", "frames"), [(1, 1), (400, 1), (401, 2), (560, 2), (561, 3), (39_040, 243)])
def test_the_last_frame_is_filled_up(samples: int, frames: int) -> None:
    assert mfcc(np.ones(samples)).shape == (13, frames)


def test_silence_has_finite_cepstra() -> None:
    assert np.isfinite(mfcc(np.zeros(1600))).all()


def test_samples_are_those_of_a_16_bit_file() -> None:
    audio = torch.tensor([0.0, 0.5, -1.0, 1.0, 1e-6, -1.7 / 32768])
    assert whole_samples(audio).tolist() == [0, 16384, -32768, 32767, 0, -2]
