import io

import numpy as np
import pytest
import torch
from PIL import Image

from metrics.summary_media import draw_spectrogram, encode_gif


def test_a_gif_lasts_as_long_as_its_clip_and_shows_it(clip_maker):
    clip = clip_maker(0, frames=21)
    with Image.open(io.BytesIO(encode_gif(clip))) as gif:
        assert gif.n_frames == 21
        durations_ms, pages = [], []
        for index in range(gif.n_frames):
            gif.seek(index)
            durations_ms.append(gif.info["duration"])
            pages.append(np.asarray(gif.convert("RGB"), dtype=float))
    assert sum(durations_ms) == pytest.approx(1000 * clip.duration_s, abs=10)
    truth = clip.video[10].permute(1, 2, 0).numpy().astype(np.uint8)
    scaled = np.asarray(Image.fromarray(truth).resize((160, 160)), dtype=float)
    assert np.abs(pages[10][:160] - scaled).mean() < 12


def test_a_spectrogram_has_low_tones_at_the_bottom():
    tone = torch.sin(2 * torch.pi * 300 * torch.arange(16_000) / 16_000)
    picture = draw_spectrogram(tone, 16_000, 100, 60).astype(int).sum(axis=(1, 2))
    assert picture.argmax() > 40
