"""``harmony bench FOLDER ...``: scores clips from any model, one file KEY.mp4 for each case, as they are."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from harmony_lit.errors import UserError
from harmony_lit.experiment.compose import compose
from harmony_lit.experiment.nodes import build
from metrics.base import BenchMetric
from metrics.bench.cases import UNCATEGORISED, BenchCase, read_cases
from metrics.bench.measuring import ClipSet, Findings, measure_sets
from metrics.bench.report import write_report
from metrics.bench.results import BenchResults
from metrics.bench.scoring import measures_of
from metrics.bench.tables import print_results

TRUTH = "ground_truth"


class FolderBench:
    """What ``harmony bench FOLDER`` measures.

    Args:
        metrics: Metrics by name.
        workers: Processes that score; 0 scores in this one, as it should be where networks run on an accelerator.

    Raises:
        UserError: If a value cannot be, or two metrics report the same name.
    """

    def __init__(self, metrics: dict[str, BenchMetric], workers: int = 2) -> None:
        if workers < 0:
            raise UserError("bench: workers must be at least 0")
        measures_of(metrics)
        self.metrics, self.workers = metrics, workers

    def run(self, folders: Sequence[Path], table: str | Path | None, folder: Path, info: Mapping[str, Any]) -> Findings:
        """Scores the clips of every folder; each folder is a variant, and true clips of the cases are another.

        Args:
            folders: Folders of ``KEY.mp4``, lossless sound beside it as ``KEY.flac`` if there is any.
            table: Table of cases; without one each clip is a case of its own, of which nothing is known.
            folder: Where the results will lie.
            info: For the results.

        Raises:
            UserError: If a folder holds no clip, or none of any case.
        """
        names = dict(zip(unique_names(folders), folders, strict=True))
        found = {name: clips_in(folder) for name, folder in names.items()}
        if table is None:
            keys = sorted({key for files in found.values() for key in files})
            cases = asked = [BenchCase(key, UNCATEGORISED) for key in keys]
        else:
            asked = read_cases(table)
            cases = [case for case in asked if any(case.key in files for files in found.values())]
        if not cases:
            example = next(iter(next(iter(found.values()))))
            raise UserError(
                f"no clip has the name of a case of {table}: it asks for {asked[0].key}.mp4, there is {example}.mp4"
            )
        sets = {}
        if truths := {case.key: Path(case.truth) for case in cases if case.truth}:
            sets[TRUTH] = ClipSet("The true clips that the table of cases names.", "reference", truths)
        for name, files in found.items():
            own = {case.key: files[case.key] for case in cases if case.key in files}
            sets[name] = ClipSet(f"The clips in {names[name]}.", "model", own, _left_over(asked, files))
        return measure_sets(self.metrics, cases, sets, folder, info, self.workers)


def bench_folders(
    folders: Sequence[Path], table: str | Path | None, out: Path, source: str | Path, overrides: Sequence[str] = ()
) -> BenchResults:
    """Scores folders of clips, writes ``OUT/results.json`` and ``OUT/report.html`` and prints the table.

    Args:
        folders: Folders of ``KEY.mp4``.
        table: Table of cases, or the name of a shipped one; None if nothing is known of the clips.
        out: Where results go.
        source: The experiment whose ``bench`` names the metrics.
        overrides: Changes to it, such as ``paths.syncnet=weights/syncnet_v2.model``.

    Raises:
        UserError: If the experiment measures no folders, or the clips and cases do not fit together.
    """
    experiment = compose(source, overrides)
    bench = build(experiment.config.get("bench"), "bench")
    if not isinstance(bench, FolderBench):
        raise UserError(f"{source}: to score folders, `bench` must be a metrics.bench.folders.FolderBench")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot write to {out} ({error.strerror}); name another folder with --out") from None
    began = time.monotonic()
    info = {
        "name": ", ".join(folder.resolve().name for folder in folders),
        "version": version("harmony-lit"),
        "torch": torch.__version__,
        "scored": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "cases": str(table) if table else "none given: every clip stands for itself",
    }
    found = bench.run(folders, table, out, info)
    found.results.save(out / "results.json")
    seconds = round(time.monotonic() - began)
    facts = {
        "clips": str(sum(len(variant.clips) for variant in found.results.variants.values())),
        "cases": str(len(found.results.cases)),
        "measures": f"{len(found.results.ran)} of {len(found.results.measures)}",
        "scored in": f"{seconds // 60} min {seconds % 60} s",
    }
    write_report(out / "report.html", found, out, facts, experiment.config)
    print_results(found.results)
    return found.results


def clips_in(folder: Path) -> dict[str, Path]:
    """The mp4 files of a folder by their stem.

    Raises:
        UserError: If there are none.
    """
    files = {path.stem: path for path in sorted(folder.glob("*.mp4"))}
    if not files:
        raise UserError(f"{folder} holds no .mp4 file to score, and is no run folder either")
    return files


def _left_over(asked: Sequence[BenchCase], files: Mapping[str, Path]) -> dict[str, int]:
    """How many cases have no clip, and clips no case, for the reader of the results."""
    keys = {case.key for case in asked}
    counts = {"cases without a clip": len(keys - files.keys()), "clips without a case": len(files.keys() - keys)}
    return {what: count for what, count in counts.items() if count}


def unique_names(folders: Sequence[Path]) -> list[str]:
    """A name for each folder: the shortest end of its path that tells all of them apart.

    Raises:
        UserError: If one is given twice.
    """
    resolved = [folder.resolve() for folder in folders]
    if len(set(resolved)) < len(resolved):
        raise UserError(f"{next(p for p in resolved if resolved.count(p) > 1)} is given twice")
    depth = 1
    while len({path.parts[-depth:] for path in resolved}) < len(resolved):
        depth += 1
    return ["/".join(path.parts[-depth:]).strip("/") for path in resolved]
