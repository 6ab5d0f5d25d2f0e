import numpy as np
import pytest
import torch
from transformers.audio_utils import mel_filter_bank

from metrics.synchformer.mel import mel_power, normalised_log_mel


def noise(segments=2, samples=10_240):
    return 0.1 * torch.randn(segments, samples, generator=torch.Generator().manual_seed(0))


def slow_mel_power(samples):
    """Frame by frame by the Fourier transform's definition, with transformers' copy of torchaudio's filters."""
    filters = mel_filter_bank(513, 128, 0.0, 8000.0, 16_000, norm=None, mel_scale="htk")
    mirrored = np.pad(samples.astype(np.float64), 512, mode="reflect")
    window = np.zeros(1024)
    window[312:712] = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400)
    turns = np.exp(-2j * np.pi * np.outer(np.arange(513), np.arange(1024)) / 1024)
    frames = [mirrored[start : start + 1024] * window for start in range(0, len(samples) + 1, 160)]
    return np.stack([np.abs(turns @ frame) ** 2 @ filters for frame in frames], axis=1)


def test_mel_power_is_that_of_the_definition():
    sound = noise()
    found = mel_power(sound).double().numpy()
    assert found.shape == (2, 128, 65)
    slow = np.stack([slow_mel_power(samples.numpy()) for samples in sound])
    assert np.abs(found - slow).max() < 1e-5 * slow.max()
    assert np.log(found + 1e-6) == pytest.approx(np.log(slow + 1e-6), abs=1e-4)


def test_the_last_frame_is_the_zero_of_the_logarithm():
    mels = normalised_log_mel(noise())
    assert mels.shape == (2, 128, 66)
    assert torch.equal(mels[..., -1], torch.full((2, 128), 4.2677393 / (2 * 4.5689974)))


def test_silence_is_the_floor():
    mels = normalised_log_mel(torch.zeros(1, 10_240))
    floor = (np.log(1e-6) + 4.2677393) / (2 * 4.5689974)
    assert mels[..., :-1].numpy() == pytest.approx(floor)
