"""The whole picture as the one face: 25 frames a second, square."""

import pytest
import torch

from harmony_lit.containers import Clip
from metrics.faces.base import CROP_FPS, WholePicture
from metrics.rates import frames_at


def numbered(frames: int, fps: float, height: int = 8, width: int = 8) -> Clip:
    video = torch.arange(frames, dtype=torch.uint8)[:, None, None, None].expand(-1, 3, height, width)
    return Clip(video, torch.zeros(round(frames / fps * 16_000)), fps, 16_000)


@pytest.mark.parametrize(("fps", "frames"), [(25.0, 50), (24.0, 48), (50.0, 100), (15.0, 90), (29.97, 60)])
def test_each_frame_of_a_crop_is_the_nearest_in_time(fps: float, frames: int) -> None:
    video = frames_at(numbered(frames, fps), CROP_FPS)
    assert len(video) == round(frames / fps * 25)
    for index, shown in enumerate(video[:, 0, 0, 0].tolist()):
        assert abs(shown / fps - index / 25) <= min(0.5 / fps, abs((frames - 1) / fps - index / 25)) + 1e-9


def test_a_square_picture_of_the_size_asked_for_is_left_as_it_is() -> None:
    clip = numbered(30, 25.0)
    (crop,) = WholePicture().crops(clip, 8)
    assert crop.first_frame == 0
    assert torch.equal(crop.frames, clip.video)


def test_a_wide_picture_loses_its_sides() -> None:
    video = torch.zeros(3, 3, 32, 64, dtype=torch.uint8)
    video[..., 16:48] = 200
    (crop,) = WholePicture().crops(Clip(video, torch.zeros(1920), 25.0, 16_000), 16)
    assert crop.frames.shape == (3, 3, 16, 16)
    assert crop.frames.dtype == torch.uint8
    assert crop.frames.min() == 200


def test_a_clip_without_frames_gives_a_crop_without_frames() -> None:
    (crop,) = WholePicture().crops(Clip(torch.zeros(0, 3, 8, 8, dtype=torch.uint8), torch.zeros(0), 25.0, 16_000), 16)
    assert crop.frames.shape == (0, 3, 16, 16)
