from pathlib import Path

import pytest
import torch

from data.media import read_clip
from harmony_lit.containers import Clip
from harmony_lit.errors import UserError
from metrics.av_align import audible_peaks_s, flow_magnitude, onset_strength, peak_iou, visual_peaks_s
from metrics.base import ClipMetric, Measure
from metrics.bench.cases import BenchCase
from metrics.shifted import SHIFTS_S, scores_by_shift, shift_sound

CLIPS = Path(__file__).parents[3] / "shared" / "assets" / "clips"


def clicking(frames: int = 50, fps: float = 25.0) -> Clip:
    """A flash on frame 25 and a click at 1 s."""
    video = torch.zeros(frames, 3, 8, 8, dtype=torch.uint8)
    video[25] = 255
    audio = torch.zeros(frames * 640)
    audio[16_000] = 1.0
    return Clip(video, audio, fps, 16_000)


def flash_and_click_s(clip: Clip) -> tuple[float, float]:
    flash = int(clip.video.flatten(1).float().mean(dim=1).argmax()) / clip.fps
    return flash, int(clip.audio.argmax()) / clip.sample_rate_hz


@pytest.mark.parametrize("shift_s", [-0.4, -0.08, 0.0, 0.2, 0.4])
def test_the_sound_is_later_by_just_the_shift_and_the_picture_the_same(shift_s):
    shifted = shift_sound(clicking(), shift_s, margin_s=0.4)
    flash_s, click_s = flash_and_click_s(shifted)
    assert click_s - flash_s == pytest.approx(shift_s, abs=1e-9)
    assert len(shifted.video) == 30 and len(shifted.audio) == 30 * 640
    assert torch.equal(shifted.video, shift_sound(clicking(), 0.0, margin_s=0.4).video)


def test_a_shift_beyond_the_margin_and_a_margin_beyond_the_clip_are_refused():
    with pytest.raises(UserError, match="margin of 0.2 s must exceed the shift of 0.4 s"):
        shift_sound(clicking(), 0.4, margin_s=0.2)
    with pytest.raises(UserError, match="fit twice"):
        shift_sound(clicking(), 0.1, margin_s=1.0)


class Lag(ClipMetric):
    """Click after flash."""

    measures = (Measure("lag_s", "zero", "flash and click"),)

    def measure(self, clip: Clip, case: BenchCase) -> dict[str, float]:
        flash_s, click_s = flash_and_click_s(clip)
        return {"lag_s": click_s - flash_s}


def test_every_metric_is_asked_about_every_shift():
    scores = scores_by_shift(clicking(), [Lag()], (-0.2, 0.0, 0.4))
    assert {shift_s: found["lag_s"].value for shift_s, found in scores.items()} == pytest.approx(
        {-0.2: -0.2, 0.0: 0.0, 0.4: 0.4}
    )


@pytest.mark.skipif(not CLIPS.is_dir(), reason="the real clips of ../shared/assets are not here")
def test_av_align_of_a_real_clip_falls_when_its_sound_is_moved_either_way():
    clip = read_clip(CLIPS / "hitting_bag.mp4", fps=15.0)
    margin_s = 0.4 + 1 / clip.fps
    # The picture is the same for every shift: its flow, which takes long, is found once.
    visual_s = visual_peaks_s(flow_magnitude(shift_sound(clip, 0.0, margin_s).video), clip.fps)
    scores = {}
    for shift_s in SHIFTS_S:
        audio = shift_sound(clip, shift_s, margin_s).audio
        scores[shift_s] = peak_iou(audible_peaks_s(onset_strength(audio, clip.sample_rate_hz)), visual_s, clip.fps)
    assert scores.pop(0.0) > max(scores.values())
