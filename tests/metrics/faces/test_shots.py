import colorsys

import numpy as np
import pytest
import torch

from metrics.faces.shots import content_change, find_shots


def scenes(*lengths: int, height: int = 24, width: int = 32) -> torch.Tensor:
    """Coloured noise that trembles a little, another for each scene."""
    rng = np.random.default_rng(0)
    frames = []
    for length in lengths:
        picture = rng.integers(20, 235, (height, width, 3))
        frames += [picture + rng.integers(-3, 4, picture.shape) for _ in range(length)]
    return torch.from_numpy(np.stack(frames).astype(np.uint8)).permute(0, 3, 1, 2)


def slow_change(before: torch.Tensor, after: torch.Tensor) -> float:
    """Over every pixel, with Python's own conversion of colours."""
    total = 0.0
    for p, q in zip(before.flatten(1).T.tolist(), after.flatten(1).T.tolist(), strict=True):
        a, b = (colorsys.rgb_to_hsv(*(v / 255 for v in pixel)) for pixel in (p, q))
        total += abs(a[0] - b[0]) * 180 + abs(a[1] - b[1]) * 255 + abs(a[2] - b[2]) * 255
    return total / 3 / (before.shape[1] * before.shape[2])


def test_content_change_agrees_with_a_loop_over_pixels():
    video = scenes(2, 1)
    slow = [0.0, slow_change(video[0], video[1]), slow_change(video[1], video[2])]
    assert content_change(video) == pytest.approx(slow, abs=0.5)
    assert slow[2] > 5 * slow[1]


def test_shots_are_told_apart_and_cover_the_clip():
    assert find_shots(scenes(20, 30, 25), 27.0) == [range(20), range(20, 50), range(50, 75)]


def test_a_clip_without_a_cut_is_one_shot():
    assert find_shots(scenes(40), 27.0) == [range(40)]
    assert find_shots(scenes(1), 27.0) == [range(1)]


def test_a_cut_too_soon_after_another_is_passed_over():
    assert find_shots(scenes(20, 6, 30), 27.0) == [range(20), range(20, 56)]
    assert find_shots(scenes(9, 30), 27.0) == [range(39)]


def test_large_pictures_are_compared_at_a_small_size():
    small = scenes(3, 3)
    large = small.repeat_interleave(20, dim=2).repeat_interleave(20, dim=3)
    assert content_change(large) == pytest.approx(content_change(small), abs=3)
