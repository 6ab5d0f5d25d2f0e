"""A whole bench: which cases, variants and metrics; makes the clips that are missing and scores all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harmony_lit.containers import Clip
from harmony_lit.errors import UserError
from harmony_lit.experiment.phases import phase
from metrics.base import BenchMetric
from metrics.bench.cases import BenchCase, balanced, read_cases
from metrics.bench.clips import ClipFolder
from metrics.bench.from_shards import cases_from_shards
from metrics.bench.measuring import ClipSet, Findings, measure_sets
from metrics.bench.progress import Advance, progress_bar
from metrics.bench.scoring import measures_of
from metrics.bench.studio import Studio
from metrics.bench.variants import Variant


class Bench:
    """What ``harmony bench`` measures: which cases, which variants of clips, which metrics.

    Args:
        metrics: Metrics by name, in the order of the tables.
        variants: Variants by name, in the order in which they are made and shown.
        clips: Folder of clip shards whose held-out split gives the cases.
        cases: Table of cases (``.jsonl``), instead of ``clips``; ``harmony`` names the 150 that come with the package.
        split: Split of ``clips``.
        per_category: Cases of each category; all of them if None.
        batch_size: Clips sampled at once; changes nothing but speed and memory.
        workers: Processes that score; 0 scores in this one.

    Raises:
        UserError: If a value cannot be, or two metrics report the same name.
    """

    def __init__(
        self,
        metrics: dict[str, BenchMetric],
        variants: dict[str, Variant],
        clips: str | None = None,
        cases: str | None = None,
        split: str = "test",
        per_category: int | None = None,
        batch_size: int = 20,
        workers: int = 2,
    ) -> None:
        if (clips is None) == (cases is None):
            raise UserError("bench: give either `clips`, a folder of clip shards, or `cases`, a table of cases")
        if (per_category is not None and per_category < 1) or batch_size < 1 or workers < 0:
            raise UserError("bench: per_category and batch_size must be at least 1, workers at least 0")
        self.measures = measures_of(metrics)
        self.metrics, self.variants = metrics, variants
        self.clips, self.table, self.split, self.per_category = clips, cases, split, per_category
        self.batch_size, self.workers = batch_size, workers

    def read_cases(self, folder: Path) -> list[BenchCase]:
        """The cases; the files of those that come from clip shards are laid out in ``folder``."""
        if self.table is not None:
            return balanced(read_cases(self.table), self.per_category)
        assert self.clips is not None
        return cases_from_shards(self.clips, folder, self.per_category, self.split)

    def run(self, run: Path | str, studio: Studio, info: Mapping[str, Any]) -> Findings:
        """Makes what is missing under ``RUN/bench/VARIANT`` and scores all clips.

        A bench that was interrupted goes on where it was: clips made with the same settings are kept.

        Args:
            run: The run folder.
            studio: The means to make clips.
            info: Where the clips come from, for the results.
        """
        bench = Path(run) / "bench"
        with phase(run, "bench sample"):
            cases = self.read_cases(bench / "cases")
            folders = {name: make_missing(name, self.variants[name], studio, bench, cases) for name in self.variants}
        sets = {}
        for name, folder in folders.items():
            variant, made = self.variants[name], [case for case in cases if not folder.missing([case])]
            files = {case.key: folder.video(case) for case in made}
            sets[name] = ClipSet(variant.about, variant.role, files, variant.facts(studio), folder.mean_notes())
        with phase(run, "bench score"):
            return measure_sets(self.metrics, cases, sets, bench, info, self.workers)


def make_missing(name: str, variant: Variant, studio: Studio, bench: Path, cases: Sequence[BenchCase]) -> ClipFolder:
    """Makes the clips of a variant that are not in its folder yet."""
    folder = ClipFolder(bench / name, variant.settings(studio, bench))
    missing = folder.missing(cases)
    if not missing:
        return folder
    wanted = list(cases) if variant.together else missing
    folder.forget(wanted)
    with progress_bar(name, len(wanted)) as advance:
        _make(variant, studio, bench, folder, wanted, advance)
    return folder


def _make(
    variant: Variant, studio: Studio, bench: Path, folder: ClipFolder, cases: Sequence[BenchCase], advance: Advance
) -> None:
    try:
        for count, made in enumerate(variant.make(studio, bench, cases, advance), start=1):
            if isinstance(made.clip, Clip):
                folder.write(made.case, made.clip, made.notes)
            else:
                folder.copy(made.case, made.clip)
            if count % studio.batch_size == 0:
                folder.save()
    finally:
        folder.save()
