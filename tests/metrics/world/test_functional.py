import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment

from data.world import WorldConfig, make_clip
from harmony_lit.containers import Clip
from metrics.world.functional import caption_hits, count_matches, event_f1, f1, lag_s, lip_corr, pearson


def delayed(clip, delay_s):
    shift = round(delay_s * clip.sample_rate_hz)
    audio = torch.zeros_like(clip.audio)
    if shift >= 0:
        audio[shift:] = clip.audio[: len(audio) - shift]
    else:
        audio[:shift] = clip.audio[-shift:]
    return Clip(clip.video, audio, clip.fps, clip.sample_rate_hz)


def test_matching_finds_as_many_pairs_as_the_best_assignment():
    rng = np.random.default_rng(0)
    for _ in range(300):
        first, second = rng.uniform(0, 1, rng.integers(0, 7)), rng.uniform(0, 1, rng.integers(0, 7))
        near = np.abs(first[:, None] - second[None]) <= 0.08
        rows, columns = linear_sum_assignment(-near.astype(int))
        assert count_matches(first, second) == near[rows, columns].sum()


def test_f1_is_the_harmonic_mean_of_precision_and_recall():
    assert f1(2, 4, 3) == pytest.approx(2 / (1 / (2 / 4) + 1 / (2 / 3)))
    assert f1(0, 3, 0) == 0
    assert f1(0, 0, 0) == 0


def test_pearson_agrees_with_numpy():
    first, second = np.random.default_rng(0).standard_normal((2, 50))
    assert pearson(first, second) == pytest.approx(np.corrcoef(first, second)[0, 1])
    assert pearson(first, np.ones(50)) == 0


@pytest.mark.parametrize("index", [0, 1, 2])
@pytest.mark.parametrize("delay_s", [0.2, 0.0, -0.1])
def test_lag_is_positive_when_the_sound_comes_late(index, delay_s):
    clip = make_clip(index, "val", WorldConfig()).clip
    assert lag_s(delayed(clip, delay_s)) == pytest.approx(delay_s, abs=0.025)


def test_sound_that_is_late_by_more_than_the_tolerance_matches_nothing():
    clip = make_clip(0, "val", WorldConfig()).clip
    assert event_f1(clip) == 1
    assert event_f1(delayed(clip, 0.04)) == 1
    assert event_f1(delayed(clip, 0.15)) == 0


def test_a_clip_in_which_nothing_happens_scores_nothing():
    still = Clip(torch.full((61, 3, 64, 64), 128, dtype=torch.uint8), torch.zeros(39_040), 25.0, 16_000)
    wanted = {"material": "glass", "shape": "bowl", "size": "small", "speaker": "girl"}
    assert event_f1(still) == 0
    assert lip_corr(still) == 0
    assert np.isfinite(lag_s(still))
    hits, asked = caption_hits(still, "complex", wanted)
    assert asked == 7
    assert hits <= 4


def test_captions_hit_less_when_something_else_was_asked_for():
    sample = make_clip(2, "val", WorldConfig())
    wanted = dict(sample.annotation.attributes)
    assert caption_hits(sample.clip, "complex", wanted) == (7, 7)
    wanted["material"] = "wood" if wanted["material"] != "wood" else "glass"
    assert caption_hits(sample.clip, "complex", wanted) == (5, 7)
    wanted["speaker"] = "man" if wanted["speaker"] != "man" else "girl"
    assert caption_hits(sample.clip, "complex", wanted) == (3, 7)
