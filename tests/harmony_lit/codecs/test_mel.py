"""MMAudio's log-mel front end."""

from __future__ import annotations

import math

import librosa
import numpy as np
import pytest
import torch

from harmony_lit.codecs.mel import LogMel
from harmony_lit.codecs.mmaudio import MMAUDIO, MMAudioCodec


def make_sound(samples: int) -> torch.Tensor:
    return torch.randn(1, samples, generator=torch.Generator().manual_seed(1)) * 0.2


def front_end(rate: str) -> LogMel:
    return MMAudioCodec("random", "random", "none", rate=rate)._log_mel


@pytest.mark.parametrize(("rate", "logarithm"), [("16k", np.log10), ("44k", np.log)])
@pytest.mark.parametrize("extra", [0, 100])
def test_log_mel_is_librosas(rate, logarithm, extra):
    sizes = MMAUDIO[rate]
    sound = make_sound(6 * sizes.mel_hop + extra)
    margin = (sizes.window - sizes.mel_hop) // 2
    expected = librosa.feature.melspectrogram(
        y=np.pad(np.clip(sound[0].numpy(), -1, 1), margin, mode="reflect"),
        sr=sizes.sample_rate_hz,
        n_fft=sizes.window,
        hop_length=sizes.mel_hop,
        center=False,
        power=1,
        n_mels=sizes.mel_bands,
    )
    found = front_end(rate)(sound)[0]
    assert found.shape == (sizes.mel_bands, 6)
    torch.testing.assert_close(found, torch.from_numpy(logarithm(np.maximum(expected, 1e-5))), atol=2e-4, rtol=1e-4)


def test_log_mel_is_that_of_diffusers_in_another_base():
    from diffusers import MMAudioVAE

    reference = MMAudioVAE(80, 4, 8, sample_rate=16_000, n_fft=1024, hop_length=256).mel_converter
    sound = make_sound(3000)
    torch.testing.assert_close(front_end("16k")(sound), reference(sound) / math.log(10), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("rate", ["16k", "44k"])
def test_an_impulse_is_in_the_middle_of_its_frame(rate):
    hop = MMAUDIO[rate].mel_hop
    sound = torch.zeros(1, 12 * hop)
    sound[0, 5 * hop + hop // 2] = 1
    level = front_end(rate)(sound)[0].exp().sum(0)
    assert level.argmax() == 5
    torch.testing.assert_close(level[4], level[6])


def test_silence_is_the_floor():
    assert torch.equal(front_end("16k")(torch.zeros(1, 1024)), torch.full((1, 80, 4), -5.0))
