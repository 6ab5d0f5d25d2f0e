import numpy as np
import pytest
import torch
from transformers.audio_utils import mel_filter_bank, spectrogram, window_function

from metrics.joint_embedding.fbank import log_mel_bank


@pytest.mark.filterwarnings("ignore:At least one mel filter has all zero values")
@pytest.mark.parametrize("samples", [400, 32_000, 31_999])
def test_the_bank_is_that_of_transformers_copy_of_kaldi(samples):
    sound = 0.1 * np.random.default_rng(0).normal(size=samples) + 0.05
    filters = mel_filter_bank(257, 128, 20, 8000, 16_000, norm=None, mel_scale="kaldi", triangularize_in_mel_space=True)
    theirs = spectrogram(
        sound.astype(np.float32),
        window_function(400, "hann", periodic=False),
        frame_length=400,
        hop_length=160,
        fft_length=512,
        power=2.0,
        center=False,
        preemphasis=0.97,
        mel_filters=filters,
        log_mel="log",
        mel_floor=1.192092955078125e-07,
        remove_dc_offset=True,
    ).T
    ours = log_mel_bank(torch.from_numpy(sound), 128)
    assert ours.shape == theirs.shape == (1 + (samples - 400) // 160, 128)
    assert ours.numpy() == pytest.approx(theirs, abs=2e-3)
