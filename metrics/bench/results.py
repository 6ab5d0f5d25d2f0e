"""What a bench found: scores per clip with everything needed to read them, as ``results.json``.

The mean of a measure is the mean over the subsets it applies to, as in the paper's tables, of the means over clips. A
clip that a measure cannot read is excluded and counted, never scored zero; a measure that could not run at all is named
with what it needs.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from harmony_lit.errors import UserError
from metrics.base import Measure
from metrics.bench.cases import CATEGORIES, UNCATEGORISED, BenchCase

Role = Literal["reference", "model", "control"]
SCHEMA = "harmony-bench/2"
OVERALL = "mean"
"""Name of the mean over subsets, beside the names of the subsets."""


@dataclass(frozen=True)
class VariantResult:
    """Scores of one set of clips.

    Attributes:
        name: ``ground_truth``, ``sync_cfg`` ...
        about: What the clips are, in a sentence.
        role: ``reference`` (what can be reached), ``model`` (what competes), ``control`` (what must score badly).
        clips: Case key to mp4 file, relative to the folder of ``results.json``.
        scores: Case key to measure key to value; an absent measure did not apply.
        settings: What they were made with (guidance, steps, checkpoint ...).
        weights: Case key to measure key to what the value counts for in a mean, where that is not one.
        excluded: Case key to measure key to why there is no value though the measure applies.
        sets: Subset, or ``mean`` for all clips together, to measure key to value, for measures of sets of clips.
    """

    name: str
    about: str
    role: Role
    clips: Mapping[str, str]
    scores: Mapping[str, Mapping[str, float]]
    settings: Mapping[str, Any] = field(default_factory=dict)
    weights: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    excluded: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    sets: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


@dataclass(frozen=True)
class BenchResults:
    """All variants of a bench over the same cases.

    Attributes:
        measures: How to read each number, in the order of the tables.
        cases: What was asked for.
        variants: By name, in the order of the tables.
        info: Where the clips came from: run, checkpoint, version, date, settings.
        not_run: Measure key to what it needs, for measures that were asked for and could not run.
    """

    measures: tuple[Measure, ...]
    cases: tuple[BenchCase, ...]
    variants: Mapping[str, VariantResult]
    info: Mapping[str, Any] = field(default_factory=dict)
    not_run: Mapping[str, str] = field(default_factory=dict)

    @property
    def subsets(self) -> tuple[str, ...]:
        """The categories that have cases."""
        present = {case.category for case in self.cases}
        return tuple(c for c in (*CATEGORIES, UNCATEGORISED) if c in present)

    @property
    def ran(self) -> tuple[Measure, ...]:
        """The measures that could run, in the order of the tables."""
        return tuple(m for m in self.measures if m.key not in self.not_run)

    def values(self, variant: str, measure: str, subset: str) -> list[tuple[float, float]]:
        """Value and weight of each clip of one subset that the measure could read."""
        result = self.variants[variant]
        found = []
        for case in self.cases:
            value = result.scores.get(case.key, {}).get(measure, math.nan)
            if case.category == subset and not math.isnan(value):
                found.append((value, result.weights.get(case.key, {}).get(measure, 1.0)))
        return found

    def mean(self, variant: str, measure: str, subset: str = OVERALL) -> float:
        """Weighted mean over a subset's clips, or the mean of the subsets' means; NaN where there is none."""
        if (of_set := self.variants[variant].sets.get(subset, {}).get(measure)) is not None:
            return of_set
        if subset != OVERALL:
            values = self.values(variant, measure, subset)
            total = sum(weight for _, weight in values)
            return sum(weight * value for value, weight in values) / total if total else math.nan
        means = [self.mean(variant, measure, s) for s in self.subsets]
        means = [value for value in means if not math.isnan(value)]
        return sum(means) / len(means) if means else math.nan

    def counts(self, variant: str, measure: str) -> dict[str, int]:
        """Clips that the measure could read, by subset."""
        return {s: len(self.values(variant, measure, s)) for s in self.subsets}

    def exclusions(self, variant: str, measure: str) -> dict[str, int]:
        """Clips that the measure applies to but could not read, by reason."""
        reasons = [why[measure] for why in self.variants[variant].excluded.values() if measure in why]
        return dict(Counter(reasons).most_common())

    def best(self, measure: Measure, subset: str = OVERALL) -> str | None:
        """The model variant that does best; None where no two can be compared, or none is better than another."""
        models = [name for name, variant in self.variants.items() if variant.role == "model"]
        means = {name: self.mean(name, measure.key, subset) for name in models}
        means = {name: measure.goodness(value) for name, value in means.items() if not math.isnan(value)}
        return max(means, key=lambda name: means[name]) if len(set(means.values())) > 1 else None

    def table(self, subset: str = OVERALL) -> dict[str, dict[str, float]]:
        """Means by variant and measure; measures that do not apply are left out."""
        rows = {v: {m.key: self.mean(v, m.key, subset) for m in self.ran} for v in self.variants}
        return {v: {k: round(x, 4) for k, x in row.items() if not math.isnan(x)} for v, row in rows.items()}

    def save(self, path: Path | str) -> None:
        """Writes ``results.json``: the scores, and the means and counts that follow from them."""
        summary = {subset: self.table(subset) for subset in (*self.subsets, OVERALL)}
        counts = {v: {m.key: self.counts(v, m.key) for m in self.ran} for v in self.variants}
        excluded = {v: {m.key: self.exclusions(v, m.key) for m in self.ran} for v in self.variants}
        values = {
            "schema": SCHEMA,
            **dataclasses.asdict(self),
            "means": summary,
            "counts": counts,
            "exclusions": {v: {key: why for key, why in row.items() if why} for v, row in excluded.items()},
        }
        scratch = Path(f"{path}.part")
        scratch.write_text(json.dumps(values, indent=1, ensure_ascii=False, default=str) + "\n")
        scratch.replace(path)

    @classmethod
    def load(cls, path: Path | str) -> BenchResults:
        """Reads ``results.json``.

        Raises:
            UserError: If the file is not there or has another schema.
        """
        if not Path(path).is_file():
            raise UserError(f"no bench results at {path}; `harmony bench RUN` makes them")
        try:
            values = json.loads(Path(path).read_text())
        except json.JSONDecodeError:
            raise UserError(f"{path} is not a results file: it holds no JSON") from None
        if values.get("schema") != SCHEMA:
            raise UserError(f"{path} has schema {values.get('schema')!r}, and this version reads {SCHEMA!r}")
        return cls(
            measures=tuple(Measure(**m) for m in values["measures"]),
            cases=tuple(BenchCase(**c) for c in values["cases"]),
            variants={name: VariantResult(**v) for name, v in values["variants"].items()},
            info=values["info"],
            not_run=values["not_run"],
        )
