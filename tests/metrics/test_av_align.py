import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from harmony_lit.containers import Clip
from metrics.av_align import (
    AVAlign,
    audible_peaks_s,
    av_align,
    flow_magnitude,
    onset_strength,
    onsets,
    peak_iou,
    visual_peaks_s,
)
from metrics.bench.cases import BenchCase
from metrics.bench.scoring import read_scored_clip

SHARED = Path(__file__).parents[3] / "shared"
CASE = BenchCase("k", "ambient")


def thumps(shift_s: float = 0.0) -> Clip:
    """A square that jumps every 0.4 s, and a click at each jump, ``shift_s`` later."""
    rng = np.random.default_rng(0)
    video = np.full((50, 64, 64, 3), 30, np.uint8)
    texture = rng.integers(60, 255, (16, 16, 3), np.uint8)
    column = 4
    for frame in range(50):
        if frame % 10 == 5:
            column = 4 if column > 4 else 8
        video[frame, 20:36, column : column + 16] = texture
    audio = 1e-4 * rng.normal(size=32_000)
    for frame in range(5, 50, 10):
        start = int((frame / 25 + shift_s) * 16_000)
        n = len(audio[start : start + 1600])
        audio[start : start + 1600] += 0.5 * rng.normal(size=n) * np.exp(-np.arange(n) / 200)
    return Clip(torch.from_numpy(video).permute(0, 3, 1, 2), torch.from_numpy(audio).float(), 25.0, 16_000)


def slow_iou(audible: list[float], visual: list[float], fps: float) -> float:
    matched = sum(any(v - 1 / fps < a < v + 1 / fps for v in visual) for a in audible)
    return matched / (len(audible) + len(visual) - matched)


def test_peak_iou_agrees_with_a_loop():
    rng = np.random.default_rng(0)
    for _ in range(50):
        audible, visual = (sorted(rng.uniform(0, 3, rng.integers(1, 12))) for _ in range(2))
        assert peak_iou(audible, visual, 10.0) == pytest.approx(slow_iou(audible, visual, 10.0))


def test_peak_iou_without_any_peak_is_not_a_number():
    assert math.isnan(peak_iou([], [], 25.0))
    assert peak_iou([], [1.0], 25.0) == 0.0


def test_sound_on_the_motion_scores_high_and_shifted_sound_low():
    assert av_align(thumps()) > 0.9
    assert av_align(thumps(shift_s=0.2)) < 0.1


def test_the_class_excludes_clips_without_peaks_and_traces_them():
    metric = AVAlign()
    still = Clip(torch.zeros(20, 3, 32, 32, dtype=torch.uint8), torch.zeros(12_800), 25.0, 16_000)
    metric.update(still, CASE)
    metric.update(thumps(), CASE)
    assert metric.compute()["av_align"] == pytest.approx(av_align(thumps()))
    assert metric.trace(still, CASE).visual_s == ()
    assert len(metric.trace(thumps(), CASE).audible_s) == 5


@pytest.mark.parametrize(
    "name",
    [
        "hitting_metal.mp4",
        "hitting_bag.mp4",
        pytest.param("two_people_talking.mp4", marks=pytest.mark.slow),
    ],
)
def test_peaks_and_score_match_the_reference_implementation(name):
    path, golden = SHARED / "assets/clips" / name, SHARED / "golden/golden.json"
    if not path.is_file() or not golden.is_file():
        pytest.skip(f"needs {path} and {golden}")
    truth = json.loads(golden.read_text())["av_align"][name]
    fps = truth["fps"]
    clip = read_scored_clip(path)  # as a bench reads it: at its own rates
    assert clip.fps == pytest.approx(fps)
    visual = visual_peaks_s(flow_magnitude(clip.video), fps)
    audible = audible_peaks_s(onset_strength(clip.audio, clip.sample_rate_hz))
    assert visual == pytest.approx(truth["video_peaks"], abs=1 / fps + 1e-3)
    assert audible == pytest.approx(truth["audio_peaks"], abs=1 / fps + 1e-3)
    assert peak_iou(audible, visual, fps) == pytest.approx(truth["av_align"], abs=0.05)


def test_onsets_are_those_that_librosa_finds():
    strength = (np.random.default_rng(3).random(60) ** 4).astype(np.float32)
    # librosa 0.11: onset_detect(onset_envelope=strength, sr=22050)
    assert onsets(strength) == [2, 8, 14, 21, 24, 27, 33, 37, 40, 43, 45, 48, 52, 54]
    assert onsets(np.zeros(9, dtype=np.float32)) == []
