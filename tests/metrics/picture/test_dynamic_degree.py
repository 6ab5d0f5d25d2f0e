import numpy as np
import pytest
import torch

from harmony_lit.containers import Clip
from metrics.bench.cases import BenchCase
from metrics.picture.dynamic_degree import DynamicDegree, moves, sampled, strongest
from metrics.picture.flow import Raft
from metrics.picture.raft import RAFTNetwork

CASE = BenchCase("k", "ambient")


def slow_strongest(flow: np.ndarray) -> float:
    lengths = sorted((float(np.hypot(x, y)) for x, y in flow.reshape(2, -1).T), reverse=True)
    return float(np.mean(lengths[: int(len(lengths) * 0.05)]))


def slow_moves(strengths, frames, short_side) -> bool:
    """As VBench counts: pair by pair, until there are enough."""
    count = 0
    for strength in strengths:
        if strength > 6.0 * (short_side / 256.0):
            count += 1
        if count >= round(4 * (frames / 16.0)):
            return True
    return False


def test_the_strongest_twentieth_agrees_with_sorting():
    flow = np.random.default_rng(0).normal(size=(2, 23, 31)).astype(np.float32)
    assert strongest(torch.from_numpy(flow)) == pytest.approx(slow_strongest(flow), rel=1e-5)


def test_moving_agrees_with_counting_pair_by_pair():
    rng = np.random.default_rng(1)
    told = []
    for _ in range(300):
        frames, short_side = int(rng.integers(3, 60)), int(rng.choice([128, 256, 480]))
        strengths = list(rng.gamma(1.0, 4.0 * short_side / 256, frames - 1))
        told.append(moves(strengths, frames, short_side))
        assert told[-1] == slow_moves(strengths, frames, short_side)
    assert 50 < sum(told) < 250


def test_two_frames_of_a_still_do_not_move():
    assert not moves([0.0], 2, 256)
    assert moves([7.0], 2, 256)


@pytest.mark.parametrize(("fps", "kept"), [(25.0, 9), (24.0, 9), (30.0, 7), (16.0, 13), (8.0, 25), (5.0, 25)])
def test_every_nth_frame_is_kept_so_that_about_eight_a_second_remain(fps, kept):
    video = torch.arange(25).reshape(25, 1, 1, 1)
    frames = sampled(video, fps)
    assert len(frames) == kept
    assert int(frames[0]) == 0
    assert len(set(frames.flatten().diff().tolist())) == 1


def test_a_fast_pan_moves_a_slow_one_does_not_and_both_flows_are_in_percent_of_the_short_side(pan):
    metric = DynamicDegree()
    # 3 frames lie between two that are compared: 1.5 px per 64 a frame are 7.0 %, above the threshold of 2.34 %.
    clips = [pan([3 * i // 2 for i in range(13)]), pan([i // 4 for i in range(13)])]
    fast, slow = (metric.measure(clip, CASE) for clip in clips)
    assert (fast["dd"], slow["dd"]) == (1.0, 0.0)
    assert fast["flow"] == pytest.approx(100 * 4.5 / 64, rel=0.2)
    assert slow["flow"] < 2.34
    for clip in clips:
        metric.update(clip, CASE)
    assert metric.compute()["dd"] == 0.5


def test_a_clip_too_short_to_compare_frames_is_excluded(pan):
    metric = DynamicDegree()
    metric.update(pan([0, 1]), CASE)
    assert metric.excluded()["dd"] == 1
    assert metric.compute()["dd"].isnan()


def test_without_raft_weights_it_is_not_run():
    assert "raft-things.pth" in DynamicDegree(Raft()).missing()
    assert DynamicDegree().missing() is None


@pytest.mark.parametrize("source", ["real", "generated"])
def test_dd_runs_end_to_end_with_randomly_initialised_raft(tmp_path, request, source):
    clip = request.getfixturevalue("real_clip") if source == "real" else None
    if clip is None:
        clip = request.getfixturevalue("pan")([0, 3, 6], fps=8.0)
    clip = Clip(clip.video[:3], clip.audio, clip.fps, clip.sample_rate_hz)
    torch.manual_seed(0)
    weights = tmp_path / "raft-things.pth"
    torch.save({f"module.{name}": value for name, value in RAFTNetwork().state_dict().items()}, weights)
    metric = DynamicDegree(Raft(str(weights), iterations=2))
    assert metric.missing() is None
    found = metric.measure(clip, CASE)
    assert found["dd"] in (0.0, 1.0)
    assert found["flow"] > 0
    assert "raft-things.pth sha256:" in metric.measures[0].checkpoint
