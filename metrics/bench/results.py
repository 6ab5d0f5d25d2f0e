"""What a bench found: scores per clip with everything needed to read them, as ``results.json``.

The mean of a measure is the mean over the subsets it applies to, as in the paper's tables, of the means over clips. A
clip to which a measure does not apply is excluded and counted, never scored zero.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from harmony_lit.errors import UserError
from metrics.base import Measure
from metrics.bench.cases import CATEGORIES, BenchCase

Role = Literal["reference", "model", "control"]
SCHEMA = "harmony-bench/1"
OVERALL = "mean"
"""Name of the mean over subsets, beside the names of the subsets."""


@dataclass(frozen=True)
class VariantResult:
    """Scores of one set of clips.

    Attributes:
        name: ``ground_truth``, ``sync_cfg`` ...
        about: What the clips are, in a sentence.
        role: ``reference`` (what can be reached), ``model`` (what competes), ``control`` (what must score badly).
        settings: What they were made with (guidance, steps, checkpoint ...).
        clips: Case key to mp4 file, relative to the folder of ``results.json``.
        scores: Case key to measure key to value; an absent measure did not apply.
    """

    name: str
    about: str
    role: Role
    clips: Mapping[str, str]
    scores: Mapping[str, Mapping[str, float]]
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class BenchResults:
    """All variants of a bench over the same cases.

    Attributes:
        measures: How to read each number, in the order of the tables.
        cases: What was asked for.
        variants: By name, in the order of the tables.
        info: Where the clips came from: run, checkpoint, version, date, settings.
    """

    measures: tuple[Measure, ...]
    cases: tuple[BenchCase, ...]
    variants: Mapping[str, VariantResult]
    info: Mapping[str, Any] = field(default_factory=dict)

    @property
    def subsets(self) -> tuple[str, ...]:
        """The categories that have cases."""
        present = {case.category for case in self.cases}
        return tuple(c for c in CATEGORIES if c in present)

    def values(self, variant: str, measure: str, subset: str) -> list[float]:
        """The values measured on the clips of one subset."""
        scores = self.variants[variant].scores
        found = [scores.get(c.key, {}).get(measure, math.nan) for c in self.cases if c.category == subset]
        return [value for value in found if not math.isnan(value)]

    def mean(self, variant: str, measure: str, subset: str = OVERALL) -> float:
        """Mean over a subset's clips, or over the subsets' means; NaN where the measure applies to no clip."""
        if subset != OVERALL:
            values = self.values(variant, measure, subset)
            return sum(values) / len(values) if values else math.nan
        means = [self.mean(variant, measure, s) for s in self.subsets]
        means = [value for value in means if not math.isnan(value)]
        return sum(means) / len(means) if means else math.nan

    def counts(self, variant: str, measure: str) -> dict[str, int]:
        """Clips that the measure applied to, by subset."""
        return {s: len(self.values(variant, measure, s)) for s in self.subsets}

    def best(self, measure: Measure, subset: str = OVERALL) -> str | None:
        """The model variant that does best; None where no two can be compared."""
        models = [name for name, variant in self.variants.items() if variant.role == "model"]
        means = {name: self.mean(name, measure.key, subset) for name in models}
        means = {name: measure.goodness(value) for name, value in means.items() if not math.isnan(value)}
        return max(means, key=lambda name: means[name]) if len(means) > 1 else None

    def table(self, subset: str = OVERALL) -> dict[str, dict[str, float]]:
        """Means by variant and measure; measures that do not apply are left out."""
        rows = {v: {m.key: self.mean(v, m.key, subset) for m in self.measures} for v in self.variants}
        return {v: {k: round(x, 4) for k, x in row.items() if not math.isnan(x)} for v, row in rows.items()}

    def save(self, path: Path | str) -> None:
        """Writes ``results.json``: the scores, and the means and counts that follow from them."""
        summary = {subset: self.table(subset) for subset in (*self.subsets, OVERALL)}
        counts = {v: {m.key: self.counts(v, m.key) for m in self.measures} for v in self.variants}
        values = {"schema": SCHEMA, **dataclasses.asdict(self), "means": summary, "counts": counts}
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
        values = json.loads(Path(path).read_text())
        if values.get("schema") != SCHEMA:
            raise UserError(f"{path} has schema {values.get('schema')!r}, and this version reads {SCHEMA!r}")
        return cls(
            measures=tuple(Measure(**m) for m in values["measures"]),
            cases=tuple(BenchCase(**c) for c in values["cases"]),
            variants={name: VariantResult(**v) for name, v in values["variants"].items()},
            info=values["info"],
        )
