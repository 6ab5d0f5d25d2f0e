"""One clip in, scores out: here or in worker processes, each clip decoded once for all the metrics."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import torch

from data.media import probe_audio_rate, read_audio, read_clip
from harmony_lit.containers import Clip
from harmony_lit.errors import UserError
from metrics.base import BenchMetric, ClipMetric, Measure, OffsetCurve, Score, SetMetric, Trace
from metrics.bench.cases import BenchCase


@dataclass(frozen=True)
class Scored:
    """What was measured of one clip.

    Attributes:
        scores: By measure key.
        features: What each metric of sets keeps of the clip, by the metric's name.
        trace: What was seen and heard, if that was asked for.
        curve: The distance of sound and picture at every offset, likewise.
    """

    scores: Mapping[str, Score]
    features: Mapping[str, Any]
    trace: Trace | None = None
    curve: OffsetCurve | None = None


def measures_of(metrics: Mapping[str, BenchMetric]) -> tuple[Measure, ...]:
    """All measures, in order.

    Raises:
        UserError: If two metrics report the same name.
    """
    measures = [measure for metric in metrics.values() for measure in metric.measures]
    keys = [measure.key for measure in measures]
    if repeated := sorted({key for key in keys if keys.count(key) > 1}):
        raise UserError(f"bench.metrics: two metrics report {', '.join(repeated)}; keep one of them")
    return tuple(measures)


def what_can_run(metrics: Mapping[str, BenchMetric]) -> tuple[dict[str, BenchMetric], dict[str, str]]:
    """The metrics that can run, and what the measures of the others need."""
    ready, needs = {}, {}
    for name, metric in metrics.items():
        missing = metric.missing()
        if missing is None:
            ready[name] = metric
        else:
            needs.update({measure.key: missing for measure in metric.measures})
    return ready, needs


def score_clip(case: BenchCase, clip: Clip, metrics: Mapping[str, BenchMetric], trace: bool = False) -> Scored:
    """All metrics on one clip; with ``trace``, the curves of the first metric that has any."""
    of_clips = {name: metric for name, metric in metrics.items() if isinstance(metric, ClipMetric)}
    of_sets = {name: metric for name, metric in metrics.items() if isinstance(metric, SetMetric)}
    scores: dict[str, Score] = {}
    for metric in of_clips.values():
        scores.update({key: Score.of(value) for key, value in metric.measure(clip, case).items()})
    found = {name: metric.features(clip, case) for name, metric in of_sets.items()}
    features = {name: kept for name, kept in found.items() if kept is not None}
    if not trace:
        return Scored(scores, features)
    traces = (metric.trace(clip, case) for metric in of_clips.values())
    curves = (metric.offset_curve(clip, case) for metric in of_clips.values())
    return Scored(
        scores, features, next((t for t in traces if t is not None), None), next((c for c in curves if c), None)
    )


def read_scored_clip(path: Path, fps: float | None = None, sample_rate_hz: int | None = None) -> Clip:
    """The clip at ``path`` as it is scored: pictures of the mp4, sound of the ``.flac`` beside it if there is one.

    Both are at their own rates unless others are asked for: frames that were doubled on the way have no motion between
    them, which AV-Align would take for a rhythm.
    """
    lossless = path.with_suffix(".flac")
    if not lossless.is_file():
        return read_clip(path, fps, sample_rate_hz)
    clip = read_clip(path, fps, sample_rate_hz, require_audio=False)
    rate = sample_rate_hz or probe_audio_rate(lossless) or clip.sample_rate_hz
    heard = read_audio(lossless, rate)
    audio = torch.zeros(round(clip.video.shape[0] * rate / clip.fps))
    kept = min(len(audio), len(heard))
    audio[:kept] = heard[:kept]
    return Clip(clip.video, audio, clip.fps, rate)


class Scorer:
    """Scores files of clips, in ``workers`` processes that load the metrics once, or here if there are none."""

    def __init__(self, metrics: Mapping[str, BenchMetric], pool: ProcessPoolExecutor | None = None) -> None:
        self.metrics = metrics
        self.pool = pool

    @classmethod
    @contextmanager
    def start(cls, metrics: Mapping[str, BenchMetric], workers: int = 2) -> Iterator[Scorer]:
        """A scorer with its processes, which begin to load at once and end with the block."""
        if workers == 0:
            yield cls(metrics)
            return
        # Not forked: a child of a process whose OpenMP threads have run may hang.
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(workers, context, _prepare, (dict(metrics),)) as pool:
            with _one_thread_each():
                for _ in range(workers):
                    pool.submit(_ready)
            yield cls(metrics, pool)

    def score(self, jobs: Sequence[tuple[BenchCase, Path, bool]]) -> Iterator[Scored]:
        """Scores (case, mp4, whether to trace), in order, as they are done."""
        if self.pool is not None:
            # Few large jobs are dealt out one by one, so that no process ends up with all the long clips.
            yield from self.pool.map(_score_job, jobs, chunksize=4 if len(jobs) > 100 else 1)
            return
        for case, path, trace in jobs:
            yield score_clip(case, read_scored_clip(path), self.metrics, trace)


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Processes started inside get one thread in every numerical library; pools of theirs would only wait for another.

    The libraries read this when they are loaded, which is before a worker runs any code of ours.
    """
    before = {name: os.environ.get(name) for name in _THREAD_SETTINGS}
    os.environ.update(dict.fromkeys(_THREAD_SETTINGS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


_THREAD_SETTINGS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
_WORKER_METRICS: dict[str, BenchMetric] = {}


def _prepare(metrics: dict[str, BenchMetric]) -> None:
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    _WORKER_METRICS.update(metrics)


def _ready() -> None:
    """Makes a worker start; the pool starts none before its first task."""


def _score_job(job: tuple[BenchCase, Path, bool]) -> Scored:
    case, path, trace = job
    return score_clip(case, read_scored_clip(path), _WORKER_METRICS, trace)
