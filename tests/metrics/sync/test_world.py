"""The packaged SyncNet of the world, on clips that it was not trained on."""

from __future__ import annotations

import pytest

from harmony_lit.containers import Clip
from metrics.bench.cases import CATEGORIES, BenchCase
from metrics.faces.base import WholePicture
from metrics.networks import Runtime
from metrics.sync.check import SyncCheck, check_sync, with_lead
from metrics.sync.checkpoint import load_syncnet, locate
from metrics.sync.metric import SyncNetMetric
from metrics.world.check import true_clips

CPU = Runtime("cpu")


def checks(count: int, leads: range) -> dict[str, SyncCheck]:
    network, pairs = load_syncnet(str(locate("world")), CPU), true_clips(count)
    return {
        category: check_sync(
            network, [clip for clip, note in pairs if note.category == category], WholePicture(), leads
        )
        for category in CATEGORIES
    }


def assert_tells_sync(check: SyncCheck, exact: float) -> None:
    assert check.exact >= exact
    assert check.within_one >= 0.98
    assert min(check.confidence_auc, check.distance_auc) >= 0.95
    assert check.confidence > 1.5 * check.confidence_shuffled
    assert check.distance < 0.75 * check.distance_shuffled


def test_shifts_are_read_and_true_pairs_told_from_shuffled_ones() -> None:
    for category, check in checks(24, range(-6, 7, 4)).items():
        assert_tells_sync(check, exact=0.85 if category == "ambient" else 0.95)


@pytest.mark.slow
def test_bounds_hold_over_many_clips() -> None:
    for category, check in checks(180, range(-6, 7)).items():
        assert_tells_sync(check, exact=0.9 if category == "ambient" else 0.98)


def test_the_metric_reads_a_shift_and_its_direction() -> None:
    clip = next(clip for clip, note in true_clips(2) if note.category == "speech")
    metric = SyncNetMetric(WholePicture(), "world", runtime=CPU)
    case = BenchCase("k", "speech")
    for lead in (-5, 0, 3):
        shifted = Clip(clip.video, with_lead(clip.audio, lead), clip.fps, clip.sample_rate_hz)
        assert metric.measure(shifted, case)["sync_offset"] == abs(lead)
        curve = metric.offset_curve(shifted, case)
        assert curve.offsets_frames[curve.distances.index(min(curve.distances))] == lead
