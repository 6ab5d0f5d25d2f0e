import numpy as np
import pytest
import torch
from PIL import Image

from harmony_lit.containers import Clip
from metrics.synchformer.inputs import as_segments, audio_segments, batches, resized, video_segments


def picture(height, width, frames=1):
    rng = np.random.default_rng(0)
    smooth = np.cumsum(rng.normal(size=(frames, 3, height, width)), axis=-1)
    smooth += 40 * rng.normal(size=smooth.shape)
    return torch.from_numpy(np.clip(smooth + 128, 0, 255).astype(np.uint8))


@pytest.mark.parametrize(("height", "width"), [(340, 605), (480, 320), (96, 97), (224, 301)])
def test_frames_are_scaled_as_pillow_scales_them_and_cropped_around_the_centre(height, width):
    frames = picture(height, width, frames=9)  # more than are scaled at once
    found = resized(frames).int().numpy()
    short = min(height, width)
    size = (int(224 * width / short), int(224 * height / short))
    left, top = round((size[0] - 224) / 2), round((size[1] - 224) / 2)
    for frame, ours in zip(frames, found, strict=True):
        scaled = [Image.fromarray(plane).resize(size, Image.Resampling.BICUBIC) for plane in frame.float().numpy()]
        theirs = np.stack([np.asarray(plane)[top : top + 224, left : left + 224] for plane in scaled])
        assert np.abs(ours - theirs.clip(0, 255)).max() < 0.51


def test_segments_begin_half_a_segment_apart_and_incomplete_ones_are_left_out():
    found = as_segments(torch.arange(39), 16)
    assert found[:, 0].tolist() == [0, 8, 16]
    assert torch.equal(found[1], torch.arange(8, 24))
    assert as_segments(torch.zeros(15, 3), 16).shape == (0, 16, 3)


def test_five_seconds_have_fourteen_segments_of_sound_and_picture():
    clip = Clip(picture(224, 224, 125), torch.rand(80_000), 25.0, 16_000)
    frames, samples = video_segments(clip), audio_segments(clip)
    assert frames.shape == (14, 16, 3, 224, 224)
    assert samples.shape == (14, 10_240)
    assert torch.equal(frames[3], clip.video[24:40])
    assert torch.equal(samples[3], clip.audio[3 * 5120 :][:10_240])


def test_other_rates_are_brought_to_25_frames_and_16_khz():
    frames = torch.arange(60, dtype=torch.uint8)[:, None, None, None].expand(-1, 3, 224, 224)
    tone = torch.sin(2 * torch.pi * 440 * torch.arange(96_000) / 48_000)
    clip = Clip(frames, tone, 30.0, 48_000)
    seen = video_segments(clip)[:, :, 0, 0, 0]
    assert seen[0, :6].tolist() == [0, 1, 2, 4, 5, 6]  # nearest to 0, 1.2, 2.4, 3.6, 4.8, 6
    assert len(seen) == 5
    heard = audio_segments(clip)
    assert len(heard) == 5
    expected = torch.sin(2 * torch.pi * 440 * (torch.arange(10_240) + 5120) / 16_000)
    assert float((heard[1] - expected).abs().max()) < 1e-2


def test_pixels_become_numbers_from_minus_one_to_one():
    pieces = list(batches(torch.tensor([[0], [127], [255]]).to(torch.uint8), 2, torch.device("cpu"), torch.float32))
    assert [len(piece) for piece in pieces] == [2, 1]
    assert torch.cat(pieces).flatten().tolist() == pytest.approx([-1, 127 / 127.5 - 1, 1])
