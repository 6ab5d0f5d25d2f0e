import pytest
import torch

from metrics.bench.cases import BenchCase
from metrics.picture.amt import AMTNetwork
from metrics.picture.interpolation import Amt, FlowInterpolator, FrameInterpolator
from metrics.picture.smoothness import MotionSmoothness, motion_smoothness

CASE = BenchCase("k", "ambient")


class Darker(FrameInterpolator):
    """Draws the darker of both frames, and counts."""

    detector = "darker"

    def __init__(self, batch_size: int) -> None:
        self.batch_size, self.drawn = batch_size, 0

    def between(self, before, after):
        self.drawn += len(before)
        return torch.minimum(before, after)


def slow_smoothness(video: torch.Tensor) -> float:
    errors = []
    for index in range(1, len(video) - 1, 2):
        drawn = torch.minimum(video[index - 1], video[index + 1]).double()
        errors.append(float((drawn - video[index].double()).abs().mean()))
    return (255 - sum(errors) / len(errors)) / 255


@pytest.mark.parametrize("frames", [3, 4, 9, 10])
@pytest.mark.parametrize("batch_size", [1, 3, 8])
def test_smoothness_agrees_with_a_loop_over_the_dropped_frames(frames, batch_size):
    video = torch.randint(0, 256, (frames, 3, 8, 10), generator=torch.Generator().manual_seed(frames)).byte()
    interpolator = Darker(batch_size)
    assert motion_smoothness(video, interpolator) == pytest.approx(slow_smoothness(video), abs=1e-12)
    assert interpolator.drawn == (frames - 1) // 2


def test_the_flow_interpolator_draws_the_frame_half_way_along_a_pan(pan):
    video = pan([0, 3, 6], height=96, width=128).video
    drawn = FlowInterpolator().between(video[:1], video[2:])[0].float()
    inner = (slice(None), slice(16, -16), slice(16, -16))
    wrong = (0.5 * video[0].float() + 0.5 * video[2].float() - video[1].float())[inner].abs().mean()
    assert (drawn - video[1].float())[inner].abs().mean() < 0.2 * wrong


def test_a_still_is_perfectly_smooth_and_a_stutter_less_smooth_than_a_pan(pan):
    metric = MotionSmoothness()
    still = metric.measure(pan([4] * 7), CASE)["ms"]
    smooth = metric.measure(pan([0, 2, 4, 6, 8, 10, 12]), CASE)["ms"]
    stutter = metric.measure(pan([0, 4, 4, 4, 8, 12, 12]), CASE)["ms"]
    assert still == 1.0
    assert 1 > smooth > stutter > 0.8


def test_two_frames_are_excluded(pan):
    metric = MotionSmoothness()
    metric.update(pan([0, 1]), CASE)
    assert metric.excluded()["ms"] == 1


def test_without_amt_weights_it_is_not_run():
    assert "amt-s.pth" in MotionSmoothness(Amt()).missing()
    assert MotionSmoothness().missing() is None


@pytest.mark.parametrize("source", ["real_clip", "generated"])
def test_ms_runs_end_to_end_with_randomly_initialised_amt_s(tmp_path, request, source):
    clip = request.getfixturevalue("pan")([0, 2, 4]) if source == "generated" else request.getfixturevalue(source)
    torch.manual_seed(0)
    weights = tmp_path / "amt-s.pth"
    torch.save({"state_dict": AMTNetwork().state_dict()}, weights)
    metric = MotionSmoothness(Amt(str(weights)))
    assert metric.missing() is None
    assert 0 <= metric.measure(clip, CASE)["ms"] < 1
    assert "amt-s.pth sha256:" in metric.measures[0].checkpoint
