"""Several results side by side, over the cases that they have in common."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from harmony_lit.errors import UserError
from metrics.base import Measure
from metrics.bench.cases import BenchCase
from metrics.bench.folders import unique_names
from metrics.bench.measuring import Findings
from metrics.bench.report import write_report
from metrics.bench.results import BenchResults, VariantResult
from metrics.bench.tables import print_results

Value = TypeVar("Value")
_ASKED = ("category", "video_caption", "audio_caption", "transcript", "language")


def compare(paths: Sequence[Path], out: Path | None = None) -> BenchResults:
    """Prints the variants of several results in one table; with ``out``, writes them as results and a report, too.

    Raises:
        UserError: If a path leads to no results, or they answer different cases.
    """
    files = [results_file(path) for path in paths]
    folder = Path.cwd() if out is None else out
    labels = labels_of(files)
    merged = merge_results({n: (f.parent, BenchResults.load(f)) for n, f in zip(labels, files, strict=True)}, folder)
    print_results(merged)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        merged.save(out / "results.json")
        facts = {"results": str(len(files)), "cases in common": str(len(merged.cases))}
        write_report(out / "report.html", Findings(merged, {}, {}, {}), out, facts)
    return merged


def results_file(path: Path) -> Path:
    """The ``results.json`` that ``path`` leads to: the file, a folder that holds it, or a run.

    Raises:
        UserError: If there is none.
    """
    for candidate in (path, path / "results.json", path / "bench" / "results.json"):
        if candidate.is_file():
            return candidate
    raise UserError(f"there are no results at {path}; `harmony bench {path}` makes them")


def merge_results(given: Mapping[str, tuple[Path, BenchResults]], folder: Path) -> BenchResults:
    """All variants as ``LABEL: VARIANT``, over the cases that all have, clips named relative to ``folder``.

    Numbers of one name stand in one column only if their protocol, detector and checkpoint are the same; otherwise each
    protocol gets a column of its own.

    Raises:
        UserError: If they have no case in common.
    """
    cases = _in_common({label: results for label, (_, results) in given.items()})
    measures: dict[str, Measure] = {}
    variants: dict[str, VariantResult] = {}
    not_run: dict[str, str] = {}
    for label, (home, results) in given.items():
        names = {measure.key: _column(measure, label, measures) for measure in results.measures}
        not_run.update({names[key]: needs for key, needs in results.not_run.items()})
        for name, variant in results.variants.items():
            # A number about a set is not one about a part of it.
            sets = variant.sets if len(cases) == len(results.cases) else {}
            variants[f"{label}: {name}"] = replace(
                variant,
                name=f"{label}: {name}",
                clips={c.key: _link(home, variant, c, folder) for c in cases if c.key in variant.clips},
                scores=_chosen(variant.scores, cases, names),
                weights=_chosen(variant.weights, cases, names),
                excluded=_chosen(variant.excluded, cases, names),
                sets={subset: {names.get(k, k): v for k, v in row.items()} for subset, row in sets.items()},
            )
    ran = {key for variant in variants.values() for row in variant.scores.values() for key in row}
    not_run = {key: needs for key, needs in not_run.items() if key not in ran}
    info = {"name": " and ".join(given), "cases": f"{len(cases)} that all results have in common"}
    return BenchResults(tuple(measures.values()), cases, variants, info, not_run)


def _in_common(given: Mapping[str, BenchResults]) -> tuple[BenchCase, ...]:
    first, *others = given.values()
    asked = [{case.key: _asked(case) for case in results.cases} for results in others]
    cases = tuple(case for case in first.cases if all(table.get(case.key) == _asked(case) for table in asked))
    if not cases:
        raise UserError(f"{' and '.join(given)} have no case in common, so that nothing of them can be compared")
    return cases


def _asked(case: BenchCase) -> str:
    """What makes two cases the same: what is asked for, not where its files lie."""
    values = dataclasses.asdict(case)
    return json.dumps([values[name] for name in _ASKED])


def _column(measure: Measure, label: str, columns: dict[str, Measure]) -> str:
    """The key of the column for ``measure``: one that has its protocol already, or a new one."""
    for key, known in columns.items():
        if replace(known, key=measure.key, title=measure.title) == measure and key.split("@")[0] == measure.key:
            return key
    key = measure.key if measure.key not in columns else f"{measure.key}@{label}"
    title = f"{measure.title or measure.key} ({label})" if key != measure.key else measure.title
    columns[key] = replace(measure, key=key, title=title)
    return key


def _chosen(
    of: Mapping[str, Mapping[str, Value]], cases: Sequence[BenchCase], names: Mapping[str, str]
) -> dict[str, dict[str, Value]]:
    return {c.key: {names[k]: v for k, v in of[c.key].items()} for c in cases if c.key in of}


def _link(home: Path, variant: VariantResult, case: BenchCase, folder: Path) -> str:
    return os.path.relpath(home / variant.clips[case.key], folder)


def labels_of(files: Sequence[Path]) -> list[str]:
    """A name for each results file: of its run or of the folder that was scored, longer where two are alike.

    Raises:
        UserError: If one is given twice.
    """
    homes = [file.resolve().parent for file in files]
    homes = [home.parent if home.name == "bench" else home for home in homes]
    return unique_names(homes)
