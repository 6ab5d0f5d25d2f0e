"""Two ranks that share the clips say what one rank says of all of them, whatever the metric."""

import importlib
import os
import pkgutil
from dataclasses import replace

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

import metrics
from metrics.av_align import AVAlign
from metrics.base import BenchMetric, ClipMetric
from metrics.bench.cases import CATEGORIES, BenchCase
from metrics.faces.base import WholePicture
from metrics.picture import DynamicDegree, MotionSmoothness
from metrics.speech.sphinx import PocketSphinx
from metrics.speech.wer import WordErrorRate
from metrics.sync import SyncNetMetric
from metrics.world.measures import CaptionAccuracy, EventF1, Lag, LipCorr

COUNT = 7


def all_metrics():
    found = [EventF1(), Lag(), LipCorr(), CaptionAccuracy(), AVAlign(), DynamicDegree(), MotionSmoothness()]
    found.append(SyncNetMetric(WholePicture(), weights="world"))
    sphinx = PocketSphinx(grammar="digits")
    return [*found, WordErrorRate(sphinx, "basic")] if sphinx.missing() is None else found


def asked(clip_maker):
    for index in range(COUNT):
        words = ("", "one two", "three four five six")[index % 3]
        case = BenchCase(f"c{index}", CATEGORIES[index % 3], transcript=words, attributes={"speaker": "robot"})
        clip = clip_maker(index, frames=30)
        yield clip if index else replace(clip, audio=torch.zeros_like(clip.audio)), case


def said(clips):
    values = {}
    for metric in all_metrics():
        for clip, case in clips:
            metric.update(clip, case)
        values.update({name: float(value) for name, value in metric.compute().items()})
        values.update({f"{name} excluded": float(value) for name, value in metric.excluded().items()})
    return values


def _rank(rank, store, clips, results):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
    values = {}
    for metric in all_metrics():
        for clip, case in clips[rank::2]:
            metric.update(clip, case)
        values.update({name: float(value) for name, value in metric.compute().items()})
        metric.sync()
        values.update({f"{name} excluded": float(value) for name, value in metric.excluded().items()})
    results[rank] = values
    dist.destroy_process_group()


@pytest.mark.skipif(os.name == "nt", reason="needs fork")
def test_every_metric_that_needs_no_weights_is_the_same_on_two_ranks(tmp_path, clip_maker):
    clips = list(asked(clip_maker))
    alone = said(clips)
    context = mp.get_context("fork")
    with context.Manager() as manager:
        results = manager.dict()
        arguments = (str(tmp_path / "store"), clips, results)
        mp.start_processes(_rank, arguments, nprocs=2, start_method="fork")
        for rank in range(2):
            assert results[rank] == pytest.approx(alone, nan_ok=True)
    assert sum(value > 0 for value in alone.values()) > 8


def test_no_metric_of_clips_keeps_anything_that_the_base_does_not_sum_over_ranks():
    for module in pkgutil.walk_packages(metrics.__path__, "metrics."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    found = {c for base in (ClipMetric, *ClipMetric.__subclasses__()) for c in base.__subclasses__()}
    shipped = {metric for metric in found if metric.__module__.startswith("metrics.")}
    assert len(shipped) >= 15
    for metric in shipped:
        assert issubclass(metric, BenchMetric)
        own = vars(metric).keys() & {"add", "update", "compute", "reset", "excluded", "sync"}
        assert not own, f"{metric.__name__} overrides {own}"
