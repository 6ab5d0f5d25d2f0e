import math
import os

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from harmony_lit.containers import Clip
from metrics.base import ClipMetric, Measure, Score
from metrics.bench.cases import BenchCase

CASE = BenchCase("k", "ambient")


class Loudness(ClipMetric):
    measures = (
        Measure("loudness", "higher", "Mean square."),
        Measure("peak", "lower", "Highest sample."),
        Measure("weighted", "higher", "First sample, weighted by the second."),
    )

    def measure(self, clip, case):
        if not clip.audio.any():
            return {"weighted": Score.none("silent")}
        first, second = clip.audio[:2].tolist()
        values = {"loudness": float(clip.audio.square().mean()), "peak": float(clip.audio.max()), "other": 1.0}
        return {**values, "weighted": Score(first, second)}


def clips(count=7):
    generator = torch.Generator().manual_seed(0)
    sounds = [torch.rand(100, generator=generator) * (index != 3) for index in range(count)]
    return [Clip(torch.zeros(1, 3, 2, 2, dtype=torch.uint8), sound, 25.0, 16_000) for sound in sounds]


def test_means_leave_out_clips_that_a_measure_does_not_apply_to():
    metric = Loudness()
    for clip in clips():
        metric.update(clip, CASE)
    heard = [float(c.audio.square().mean()) for c in clips() if c.audio.any()]
    assert float(metric.compute()["loudness"]) == pytest.approx(sum(heard) / 6)
    pairs = [c.audio[:2].tolist() for c in clips() if c.audio.any()]
    weighted = sum(value * weight for value, weight in pairs) / sum(weight for _, weight in pairs)
    assert float(metric.compute()["weighted"]) == pytest.approx(weighted)
    assert {name: int(count) for name, count in metric.excluded().items()} == {"loudness": 0, "peak": 0, "weighted": 1}
    metric.reset()
    assert math.isnan(metric.compute()["peak"])


def test_not_a_number_is_an_exclusion_not_a_zero():
    score = Score.of(math.nan)
    assert score.excluded
    assert score.weight == 0


def _rank(rank, store, results):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
    metric = Loudness()
    for clip in clips()[rank::2]:
        metric.update(clip, CASE)
    results[rank] = {name: float(value) for name, value in metric.compute().items()}
    dist.destroy_process_group()


@pytest.mark.skipif(os.name == "nt", reason="needs fork")
def test_two_ranks_give_the_mean_over_all_clips(tmp_path):
    alone = Loudness()
    for clip in clips():
        alone.update(clip, CASE)
    context = mp.get_context("fork")
    with context.Manager() as manager:
        results = manager.dict()
        mp.start_processes(_rank, (str(tmp_path / "store"), results), nprocs=2, start_method="fork")
        for rank in range(2):
            assert results[rank] == pytest.approx({k: float(v) for k, v in alone.compute().items()})


@pytest.mark.parametrize(("direction", "better", "worse"), [("higher", 2, 1), ("lower", -2, -1), ("zero", -0.1, 0.2)])
def test_goodness_follows_the_direction(direction, better, worse):
    measure = Measure("m", direction, "")
    assert measure.goodness(better) > measure.goodness(worse)
