"""What a metric of clips is: numbers per clip or per set of clips, right across ranks, each with its protocol.

Shape legend: N feature vectors, D feature width.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from torchmetrics import Metric

from harmony_lit.containers import Clip
from metrics.bench.cases import BenchCase

Direction = Literal["higher", "lower", "zero"]
"""Which way is better; ``zero`` means the closer to zero the better."""


@dataclass(frozen=True)
class Measure:
    """One number that a metric reports, and how to read it.

    Attributes:
        key: Name in results and TensorBoard tags.
        direction: Which way is better.
        protocol: Settings behind the number, in a sentence or two.
        unit: ``s``, ``%`` ...; empty for a ratio.
        digits: Decimals worth showing.
        title: Name in tables; made from ``key`` if empty.
        detector: What looks and listens: the network or algorithm, and its version.
        checkpoint: File name and digest, or hub id, of its weights; empty if it has none.
    """

    key: str
    direction: Direction
    protocol: str
    unit: str = ""
    digits: int = 2
    title: str = ""
    detector: str = ""
    checkpoint: str = ""

    @property
    def arrow(self) -> str:
        """An arrow for tables: up, down, or towards zero."""
        return {"higher": "↑", "lower": "↓", "zero": "→0"}[self.direction]

    def goodness(self, value: float) -> float:
        """``value`` mapped so that more is better."""
        return {"higher": value, "lower": -value, "zero": -abs(value)}[self.direction]


@dataclass(frozen=True)
class Score:
    """One number of one clip.

    Attributes:
        value: The number; NaN if the clip is excluded.
        weight: What it counts for in the mean (words of a transcript, seconds ...).
        excluded: Why there is no number though the measure applies (``no face``); empty if there is one.
    """

    value: float
    weight: float = 1.0
    excluded: str = ""

    @classmethod
    def none(cls, why: str) -> Score:
        """A clip that the measure applies to but cannot read, and why; it is counted, never scored zero."""
        return cls(math.nan, 0.0, why)

    @classmethod
    def of(cls, value: float | Score) -> Score:
        """A bare number as a score of weight one; NaN is an exclusion."""
        if isinstance(value, Score):
            return value
        return cls.none("not a number") if math.isnan(value) else cls(value)


@dataclass(frozen=True)
class Trace:
    """What a detector saw and heard in a clip, for a picture of it.

    Attributes:
        visual: Motion over time, evenly spaced over ``duration_s``, at most 1.
        audible: Loudness or onset strength over time, likewise.
        visual_s: Times of visible events in seconds.
        audible_s: Times of audible events in seconds.
        duration_s: Seconds that both curves span.
    """

    visual: tuple[float, ...]
    audible: tuple[float, ...]
    visual_s: tuple[float, ...]
    audible_s: tuple[float, ...]
    duration_s: float


@dataclass(frozen=True)
class OffsetCurve:
    """How far sound and picture are apart at every offset, for a picture of it.

    Attributes:
        offsets_frames: Offsets in video frames; positive where the sound leads.
        distances: Mean distance at each.
    """

    offsets_frames: tuple[int, ...]
    distances: tuple[float, ...]


class BenchMetric(Metric, ABC):
    """Numbers about clips that answer cases.

    States are sums or lists of rows, so that any split of the clips over ranks gives what one rank on all of them
    gives. ``measures`` says what is reported.
    """

    full_state_update = False
    measures: tuple[Measure, ...]

    def missing(self) -> str | None:
        """What the metric needs and does not have, as in ``needs ...``; None if it can run.

        Called before the first clip, so that an absent package or file is told once and no number is made up.
        """
        return None

    @abstractmethod
    def update(self, clip: Clip, case: BenchCase) -> None:
        """Takes in one clip."""

    @abstractmethod
    def compute(self) -> dict[str, Tensor]:
        """Each measure over all clips, by key; NaN where it applied to none."""


class ClipMetric(BenchMetric):
    """A mean over clips of one or more numbers, each measured on one clip at a time.

    A subclass names its ``measures`` and implements ``measure``.
    """

    def __init__(self) -> None:
        super().__init__()
        for measure in self.measures:
            for state in ("sum", "weight", "excluded"):
                self.add_state(f"{measure.key}_{state}", torch.zeros(()), dist_reduce_fx="sum")

    @abstractmethod
    def measure(self, clip: Clip, case: BenchCase) -> Mapping[str, float | Score]:
        """The numbers of one clip, by measure key.

        A key is left out where the measure does not apply (no speech was asked for, nothing strikes). Where it applies
        and cannot be read (no face is found), ``Score.none`` says why; such clips are excluded from the mean and
        counted.
        """

    def trace(self, clip: Clip, case: BenchCase) -> Trace | None:
        """The curves and events behind the numbers, for metrics that have such and cases that they apply to."""
        return None

    def offset_curve(self, clip: Clip, case: BenchCase) -> OffsetCurve | None:
        """The distance at every offset of sound against picture, for metrics that try several."""
        return None

    def update(self, clip: Clip, case: BenchCase) -> None:
        """Measures one clip and adds it to the means."""
        self.add(self.measure(clip, case))

    def add(self, values: Mapping[str, float | Score]) -> None:
        """Adds the numbers of a clip that was measured elsewhere; foreign keys are passed over."""
        for key in (measure.key for measure in self.measures if measure.key in values):
            score = Score.of(values[key])
            if score.excluded:
                self._count(f"{key}_excluded", 1)
            else:
                self._count(f"{key}_sum", score.weight * score.value)
                self._count(f"{key}_weight", score.weight)

    def compute(self) -> dict[str, Tensor]:
        """The weighted mean of each measure over the clips it could read; NaN where there was none."""
        return {m.key: getattr(self, f"{m.key}_sum") / getattr(self, f"{m.key}_weight") for m in self.measures}

    def excluded(self) -> dict[str, Tensor]:
        """Clips that each measure applied to but could not read."""
        return {m.key: getattr(self, f"{m.key}_excluded") for m in self.measures}

    def _count(self, state: str, amount: float) -> None:
        setattr(self, state, getattr(self, state) + amount)


class SetMetric(BenchMetric):
    """A number about a whole set of clips, such as a distance between distributions; it has none for a single clip.

    A subclass implements ``features`` (one clip at a time, perhaps in another process), ``add`` and ``compute``.
    """

    @abstractmethod
    def features(self, clip: Clip, case: BenchCase) -> Any | None:
        """What the set keeps of one clip and its truth, picklable and on the CPU; None if it does not apply."""

    @abstractmethod
    def add(self, features: Any) -> None:
        """Adds what ``features`` gave."""

    def update(self, clip: Clip, case: BenchCase) -> None:
        """Takes one clip into the set."""
        found = self.features(clip, case)
        if found is not None:
            self.add(found)
