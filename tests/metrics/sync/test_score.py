"""Sync-C, Sync-D and offset against the reference's numbers and against a loop."""

import json
from pathlib import Path

import pytest
import torch

from metrics.sync.features import window_count
from metrics.sync.score import offset_distances, sync_score

SHARED = Path(__file__).parents[4] / "shared"
golden = pytest.mark.skipif(not SHARED.is_dir(), reason="the golden values of ../shared are not here")


def random_features(seed: int, shape: tuple[int, int] = (40, 1024)) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@golden
def test_the_score_is_that_of_the_reference() -> None:
    expected = json.loads((SHARED / "golden" / "golden.json").read_text())["sync_score"]
    lips, sounds = random_features(3), random_features(4)
    sounds[3:] += 3 * lips[:-3]
    score = sync_score(lips, sounds)
    assert score.offset_frames == expected["offset"] == -3
    assert score.distance == pytest.approx(expected["min"], rel=1e-3)
    assert score.confidence == pytest.approx(expected["conf"], rel=1e-3)


def test_distances_agree_with_a_loop_over_windows_and_offsets() -> None:
    lips, sounds = random_features(0, (7, 5)), random_features(1, (7, 5))
    for k, distance in enumerate(offset_distances(lips, sounds, vshift=3).tolist()):
        total = 0.0
        for n in range(7):
            m = n + k - 3
            other = sounds[m] if 0 <= m < 7 else torch.zeros(5)
            total += float((lips[n] - other + 1e-6).square().sum().sqrt())
        assert distance == pytest.approx(total / 7, rel=1e-5)


@pytest.mark.parametrize("lead", [-6, -1, 0, 2, 9])
def test_sound_that_comes_earlier_has_a_positive_offset(lead: int) -> None:
    lips = random_features(0, (60, 16))
    sounds = torch.roll(lips, -lead, dims=0)  # what is seen at n is heard at n - lead
    score = sync_score(lips, sounds)
    assert score.offset_frames == lead
    assert score.offsets_frames[score.distances.index(min(score.distances))] == lead
    assert score.offsets_frames == tuple(range(-15, 16))


def test_confidence_is_the_median_less_the_least() -> None:
    score = sync_score(random_features(0), random_features(1))
    assert score.distance == min(score.distances)
    assert score.confidence == pytest.approx(sorted(score.distances)[15] - score.distance, rel=1e-5)


@pytest.mark.parametrize(
    ("frames", "samples", "windows"),
    [(61, 39_040, 56), (61, 38_399, 54), (100, 640_000, 95), (5, 6400, 0), (6, 3840, 1), (0, 0, 0)],
)
def test_windows_by_the_published_arithmetic(frames: int, samples: int, windows: int) -> None:
    assert window_count(frames, samples) == windows
