"""The audio codec: lengths, alignment, silence."""

from __future__ import annotations

import pytest
import torch

from harmony_lit.codecs.base import AudioCodec
from harmony_lit.codecs.spectral_audio import SpectralAudioCodec
from harmony_lit.codecs.spectrogram import Spectrogram


def make_codec(**settings) -> SpectralAudioCodec:
    return SpectralAudioCodec(**{"channels": 4, "width": 16, "weights": None, "iterations": 4, **settings})


def make_sound(samples: int, batch: int = 1) -> torch.Tensor:
    return torch.randn(batch, samples, generator=torch.Generator().manual_seed(1)).mul(0.1).clamp(-1, 1)


def test_implements_the_protocol():
    assert isinstance(make_codec(), AudioCodec)


@pytest.mark.parametrize("samples", [512, 1023, 39_040])
def test_whole_latents_and_the_samples_they_cover(samples):
    codec = make_codec()
    latents = codec.encode(make_sound(samples))
    assert latents.shape == (1, 4, samples // 512)
    sound = codec.decode(latents)
    assert sound.shape == (1, samples // 512 * 512)
    assert sound.abs().max() <= 1


def test_too_short_a_sound_is_refused():
    with pytest.raises(ValueError, match="at least 512 samples"):
        make_codec().encode(make_sound(511))


def test_odd_hop_is_refused():
    with pytest.raises(ValueError, match="hop"):
        make_codec(hop=511)


def test_sounds_do_not_depend_on_their_batch():
    codec, sounds = make_codec(), make_sound(4096, batch=40)
    latents = codec.encode(sounds)
    torch.testing.assert_close(latents[37:38], codec.encode(sounds[37:38]))
    torch.testing.assert_close(codec.decode(latents)[37:38], codec.decode(latents[37:38]))


def test_fingerprint_tells_settings_apart():
    codecs = [make_codec(), make_codec(channels=8), make_codec(iterations=8)]
    assert len({codec.fingerprint for codec in codecs}) == len(codecs)


@pytest.mark.parametrize("position", [300, 5000, 10_000, 15_900])
def test_spectrogram_gives_an_impulse_back_where_it_was(position):
    sound = torch.zeros(1, 16_384)
    sound[0, position] = 0.9
    spectrogram = Spectrogram()
    returned = spectrogram.audio(spectrogram.log_magnitude(sound))
    assert returned.shape == sound.shape
    assert abs(int(returned.abs().argmax()) - position) < 0.01 * 16_000


def test_spectrogram_frames_tile_the_sound():
    spectrogram = Spectrogram(hop=256)
    sound = torch.zeros(1, 4096)
    sound[0, 5 * 256 + 128] = 1.0  # the middle of frame 5
    level = spectrogram.log_magnitude(sound)[0].mean(0)
    assert level.shape == (16,)
    assert level.argmax() == 5
    torch.testing.assert_close(level[4], level[6])


def test_spectrogram_magnitudes_come_back():
    time_s = torch.arange(16_384) / 16_000
    sound = 0.3 * torch.sin(2 * torch.pi * 440 * time_s)[None] * torch.exp(-3 * time_s)
    spectrogram = Spectrogram()
    magnitude = spectrogram.log_magnitude(sound)
    again = spectrogram.log_magnitude(spectrogram.audio(magnitude))
    error = (again.exp() - magnitude.exp()).norm() / magnitude.exp().norm()
    assert error < 0.2


def test_digital_silence_stays_silent():
    spectrogram = Spectrogram()
    assert not spectrogram.audio(spectrogram.log_magnitude(torch.zeros(1, 8192))).any()
