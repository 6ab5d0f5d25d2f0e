"""Sets of clips in, results out: what each metric says of each clip, and of each set as a whole."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from metrics.base import BenchMetric, OffsetCurve, SetMetric, Trace
from metrics.bench.cases import BenchCase
from metrics.bench.paper import in_paper_order
from metrics.bench.progress import progress_bar
from metrics.bench.results import OVERALL, BenchResults, Role, VariantResult
from metrics.bench.scoring import Scored, Scorer, measures_of, what_can_run


@dataclass(frozen=True)
class ClipSet:
    """Clips that answer cases.

    Attributes:
        about: What they are, in a sentence.
        role: What they are in the comparison.
        files: Case key to mp4 file.
        settings: What they were made with.
        notes: Means of what was measured while they were made (``psnr_db`` ...).
    """

    about: str
    role: Role
    files: Mapping[str, Path]
    settings: Mapping[str, Any] = field(default_factory=dict)
    notes: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Findings:
    """What a bench found.

    Attributes:
        results: The scores.
        traces: Variant to case key to what was seen and heard.
        curves: Variant to case key to the distance of sound and picture at every offset.
        notes: Variant to means of what was measured while its clips were made.
    """

    results: BenchResults
    traces: Mapping[str, Mapping[str, Trace]]
    curves: Mapping[str, Mapping[str, OffsetCurve]]
    notes: Mapping[str, Mapping[str, float]]


def measure_sets(
    metrics: Mapping[str, BenchMetric],
    cases: Sequence[BenchCase],
    sets: Mapping[str, ClipSet],
    folder: Path,
    info: Mapping[str, Any],
    workers: int = 2,
) -> Findings:
    """Scores every clip of every set with every metric that can run.

    Args:
        metrics: By name.
        cases: What was asked for, in the order of the tables.
        sets: By the name of the variant.
        folder: Where the results will lie; they name the clips relative to it.
        info: Where the clips come from, for the results.
        workers: Processes that score; 0 scores in this one.
    """
    ready, not_run = what_can_run(metrics)
    scored = _score(ready, cases, sets, workers)
    of_sets = {name: metric for name, metric in ready.items() if isinstance(metric, SetMetric)}
    variants = {}
    for name, clips in sets.items():
        links = {key: os.path.relpath(path, folder) for key, path in clips.files.items()}
        variants[name] = _result(name, clips, links, scored[name], _set_values(of_sets, cases, scored[name]))
    results = BenchResults(in_paper_order(measures_of(metrics)), tuple(cases), variants, dict(info), not_run)
    return Findings(
        results,
        {name: {key: one.trace for key, one in found.items() if one.trace} for name, found in scored.items()},
        {name: {key: one.curve for key, one in found.items() if one.curve} for name, found in scored.items()},
        {name: clips.notes for name, clips in sets.items()},
    )


def _score(
    metrics: Mapping[str, BenchMetric], cases: Sequence[BenchCase], sets: Mapping[str, ClipSet], workers: int
) -> dict[str, dict[str, Scored]]:
    jobs = [(name, case, s.files[case.key]) for name, s in sets.items() for case in cases if case.key in s.files]
    scored: dict[str, dict[str, Scored]] = {name: {} for name in sets}
    with Scorer.start(metrics, workers) as scorer, progress_bar("scoring", len(jobs)) as advance:
        results = scorer.score([(case, path, sets[name].role != "control") for name, case, path in jobs])
        for (name, case, _), result in zip(jobs, results, strict=True):
            scored[name][case.key] = result
            advance(1)
    return scored


def _result(
    name: str,
    clips: ClipSet,
    links: Mapping[str, str],
    scored: Mapping[str, Scored],
    of_sets: Mapping[str, Mapping[str, float]],
) -> VariantResult:
    read = {c: {k: s for k, s in one.scores.items() if not s.excluded} for c, one in scored.items()}
    weights = {c: {k: s.weight for k, s in scores.items() if s.weight != 1} for c, scores in read.items()}
    excluded = {c: {k: s.excluded for k, s in one.scores.items() if s.excluded} for c, one in scored.items()}
    return VariantResult(
        name=name,
        about=clips.about,
        role=clips.role,
        clips=links,
        scores={c: {k: s.value for k, s in scores.items()} for c, scores in read.items()},
        settings=clips.settings,
        weights={c: row for c, row in weights.items() if row},
        excluded={c: row for c, row in excluded.items() if row},
        sets=of_sets,
    )


def _set_values(
    metrics: Mapping[str, SetMetric], cases: Sequence[BenchCase], scored: Mapping[str, Scored]
) -> dict[str, dict[str, float]]:
    """Subset, or all clips together, to measure key to value."""
    subsets = {OVERALL: list(cases)}
    for case in cases:
        subsets.setdefault(case.category, []).append(case)
    values: dict[str, dict[str, float]] = {}
    for subset, members in subsets.items():
        for name, metric in metrics.items():
            kept = [scored[c.key].features[name] for c in members if c.key in scored and name in scored[c.key].features]
            if not kept:
                continue
            metric.reset()
            for features in kept:
                metric.add(features)
            with warnings.catch_warnings():
                # torchmetrics counts calls of `update`, which is `features` and `add` in one.
                warnings.filterwarnings("ignore", message=".*was called before the ``update`` method")
                found = {key: float(value) for key, value in metric.compute().items()}
            values.setdefault(subset, {}).update({k: v for k, v in found.items() if not math.isnan(v)})
    return values
