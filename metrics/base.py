"""What a metric of clips is: numbers per clip, means that are right across ranks, and a protocol in words."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

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
        key: Name in tables, results and TensorBoard tags.
        direction: Which way is better.
        protocol: Detector, checkpoint and settings behind the number, in a sentence or two.
        unit: ``s``, ``%`` ...; empty for a ratio.
        digits: Decimals worth showing.
    """

    key: str
    direction: Direction
    protocol: str
    unit: str = ""
    digits: int = 2

    @property
    def arrow(self) -> str:
        """An arrow for tables: up, down, or towards zero."""
        return {"higher": "↑", "lower": "↓", "zero": "→0"}[self.direction]

    def goodness(self, value: float) -> float:
        """``value`` mapped so that more is better."""
        return {"higher": value, "lower": -value, "zero": -abs(value)}[self.direction]


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


class ClipMetric(Metric, ABC):
    """A mean over clips of one or more numbers, each measured on one clip at a time.

    A subclass names its ``measures`` and implements ``measure``. Sums and counts are the only states, so that any
    split of the clips over ranks gives the mean over all of them.
    """

    full_state_update = False
    measures: tuple[Measure, ...]

    def __init__(self) -> None:
        super().__init__()
        for measure in self.measures:
            self.add_state(f"{measure.key}_sum", torch.zeros(()), dist_reduce_fx="sum")
            self.add_state(f"{measure.key}_count", torch.zeros(()), dist_reduce_fx="sum")

    @abstractmethod
    def measure(self, clip: Clip, case: BenchCase) -> Mapping[str, float]:
        """The numbers of one clip, by measure key.

        A key is left out where the measure does not apply (no speech to align, nothing that strikes); the clip is
        then excluded from that mean, and counted as excluded.
        """

    def trace(self, clip: Clip, case: BenchCase) -> Trace | None:
        """The curves and events behind the numbers, for metrics that have such and cases that they apply to."""
        return None

    def update(self, clip: Clip, case: BenchCase) -> None:
        """Measures one clip and adds it to the means."""
        self.add(self.measure(clip, case))

    def add(self, values: Mapping[str, float]) -> None:
        """Adds the numbers of a clip that was measured elsewhere; foreign keys and NaN are passed over."""
        for measure in self.measures:
            value = values.get(measure.key, math.nan)
            if not math.isnan(value):
                setattr(self, f"{measure.key}_sum", getattr(self, f"{measure.key}_sum") + value)
                setattr(self, f"{measure.key}_count", getattr(self, f"{measure.key}_count") + 1)

    def compute(self) -> dict[str, Tensor]:
        """The mean of each measure over the clips it applied to; NaN where there was none."""
        return {m.key: getattr(self, f"{m.key}_sum") / getattr(self, f"{m.key}_count") for m in self.measures}
