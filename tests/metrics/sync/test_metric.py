"""The metric: faces in, Sync-C, Sync-D and offset out; nothing made up where there is nothing to measure."""

from __future__ import annotations

import math
import pickle
from pathlib import Path

import pytest
import torch

from data.media import read_clip
from harmony_lit.codecs.files import save_weights
from harmony_lit.containers import Clip
from harmony_lit.experiment.nodes import build
from metrics.base import Score
from metrics.bench.cases import BenchCase
from metrics.faces.base import FaceCrop, FaceSource, WholePicture
from metrics.networks import Runtime
from metrics.sync.metric import SyncNetMetric
from metrics.sync.network import SyncNet

CLIPS = Path(__file__).parents[4] / "shared" / "assets" / "clips"
SPEECH = BenchCase("k", "speech")
CPU = Runtime("cpu")


class Mirrored(FaceSource):
    """The picture and its mirror image, each from some frame on; counts how often it was asked."""

    def __init__(self, *first_frames: int) -> None:
        self.first_frames, self.asked = first_frames, 0

    def describe(self) -> str:
        return "mirrored"

    def missing(self) -> str | None:
        return None if self.first_frames else "somebody to look at"

    def crops(self, clip: Clip, size: int) -> list[FaceCrop]:
        self.asked += 1
        frames = WholePicture().crops(clip, size)[0].frames
        views = (frames, frames.flip(3))
        return [FaceCrop(view[first:], first) for view, first in zip(views, self.first_frames, strict=False)]


@pytest.fixture
def weights(tmp_path: Path, tiny: SyncNet) -> str:
    save_weights(tmp_path / "tiny.safetensors", tiny, tiny.settings)
    return str(tmp_path / "tiny.safetensors")


def test_sync_runs_end_to_end_with_a_randomly_initialised_syncnet(tmp_path: Path, blinking) -> None:
    """The published layout at its full size, on a real clip where there is one."""
    torch.manual_seed(0)
    path = tmp_path / "syncnet_v2.model"
    torch.save(SyncNet().state_dict(), path)
    clip = read_clip(CLIPS / "two_people_talking.mp4") if CLIPS.is_dir() else blinking(0)
    short = Clip(clip.video[:23], clip.audio[: 23 * 640], clip.fps, clip.sample_rate_hz)
    metric = SyncNetMetric(WholePicture(), str(path), runtime=CPU)
    assert metric.missing() is None
    metric.update(short, SPEECH)
    values = metric.compute()
    assert values["sync_c"] >= 0
    assert values["sync_d"] > 0
    assert 0 <= values["sync_offset"] <= 15
    assert metric.measures[0].checkpoint.startswith("syncnet_v2.model sha256:")


def test_a_clip_without_faces_or_too_short_is_excluded_and_counted(weights: str, blinking) -> None:
    metric = SyncNetMetric(Mirrored(), weights, runtime=CPU)
    assert {score.excluded for score in metric.measure(blinking(0), SPEECH).values()} == {"no face"}
    metric.update(blinking(0), SPEECH)
    assert metric.excluded()["sync_c"] == 1
    assert metric.compute()["sync_c"].isnan()
    assert metric.offset_curve(blinking(0), SPEECH) is None
    short = SyncNetMetric(WholePicture(), weights, runtime=CPU)
    for frames, expected in ((20, "shorter than 21 frames"), (21, "")):
        score = Score.of(short.measure(blinking(0, frames), SPEECH)["sync_d"])
        assert score.excluded == expected
        assert math.isnan(score.value) is bool(expected)


def test_every_face_is_heard_with_its_own_part_of_the_sound(weights: str, blinking) -> None:
    clip = blinking(0)
    later = Clip(clip.video[20:], clip.audio[20 * 640 :], clip.fps, clip.sample_rate_hz)
    whole = SyncNetMetric(Mirrored(20), weights, runtime=CPU).measure(clip, SPEECH)
    part = SyncNetMetric(Mirrored(0), weights, runtime=CPU).measure(later, SPEECH)
    assert whole == pytest.approx(part)


def test_many_faces_count_on_average_or_by_the_best(weights: str, blinking) -> None:
    clip = blinking(0)
    single = [SyncNetMetric(Mirrored(0), weights, runtime=CPU).measure(clip, SPEECH)]
    mirrored = Clip(clip.video.flip(3), clip.audio, clip.fps, clip.sample_rate_hz)
    single.append(SyncNetMetric(Mirrored(0), weights, runtime=CPU).measure(mirrored, SPEECH))
    mean = SyncNetMetric(Mirrored(0, 0), weights, runtime=CPU).measure(clip, SPEECH)
    best = SyncNetMetric(Mirrored(0, 0), weights, tracks="best", runtime=CPU).measure(clip, SPEECH)
    for key in ("sync_c", "sync_d"):
        assert mean[key] == pytest.approx((single[0][key] + single[1][key]) / 2)
    assert best == pytest.approx(max(single, key=lambda values: values["sync_c"]))
    assert mean["sync_offset"] == best["sync_offset"]


def test_numbers_and_curve_come_from_one_look(weights: str, blinking) -> None:
    clip, faces = blinking(0), Mirrored(0)
    metric = SyncNetMetric(faces, weights, runtime=CPU)
    values, curve = metric.measure(clip, SPEECH), metric.offset_curve(clip, SPEECH)
    assert faces.asked == 1
    assert min(curve.distances) == pytest.approx(values["sync_d"])
    assert abs(curve.offsets_frames[curve.distances.index(min(curve.distances))]) == values["sync_offset"]


def test_batches_move_no_number(weights: str, blinking) -> None:
    values = [
        SyncNetMetric(WholePicture(), weights, batch_size=size, runtime=CPU).measure(blinking(0), SPEECH)
        for size in (7, 200)
    ]
    assert values[0] == pytest.approx(values[1], rel=1e-4)


def test_cases_of_other_categories_are_left_out(weights: str, blinking) -> None:
    metric = SyncNetMetric(Mirrored(0), weights, runtime=CPU)
    assert metric.measure(blinking(0), BenchCase("k", "ambient")) == {}
    assert metric.offset_curve(blinking(0), BenchCase("k", "ambient")) is None
    assert metric.measure(blinking(0), BenchCase("k", "any"))


def test_what_is_missing_is_said_before_anything_runs(weights: str, tmp_path: Path) -> None:
    assert "syncnet_v2.model" in str(SyncNetMetric(WholePicture()).missing())
    assert "there is nothing at" in str(SyncNetMetric(WholePicture(), str(tmp_path / "none.pth")).missing())
    assert SyncNetMetric(Mirrored(), weights).missing() == "somebody to look at"


def test_the_metric_is_built_from_yaml_and_sent_to_workers() -> None:
    spec = {
        "class_path": "metrics.sync.metric.SyncNetMetric",
        "init_args": {"faces": {"class_path": "metrics.faces.base.WholePicture"}, "weights": "world"},
    }
    metric = pickle.loads(pickle.dumps(build(spec, "sync")))
    assert [measure.title for measure in metric.measures] == ["Sync-C", "Sync-D", "|Offset|"]
    assert "whole picture" in metric.measures[0].protocol
