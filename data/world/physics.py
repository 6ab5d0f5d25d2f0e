"""When things strike and where the ball is: exact parabolas between impacts. Lengths are in picture heights."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FIRST_IMPACT_S = (0.12, 0.85)
LAST_IMPACT_BEFORE_END_S = 0.12


@dataclass(frozen=True)
class Bounces:
    """A ball bouncing straight up and down.

    Attributes:
        times_s: Impacts, in seconds from the start; the first lies before the clip and the last after it.
        gravity: Picture heights per second squared.
    """

    times_s: NDArray[np.float64]
    gravity: float

    def within(self, duration_s: float) -> NDArray[np.float64]:
        """The impacts that the clip shows and sounds."""
        return self.times_s[(self.times_s >= 0) & (self.times_s < duration_s)]

    def height(self, time_s: float) -> float:
        """Height of the ball above the target, by h = g t (T - t) / 2 in a gap of T seconds."""
        i = int(np.clip(np.searchsorted(self.times_s, time_s, side="right"), 1, len(self.times_s) - 1))
        since, left = time_s - self.times_s[i - 1], self.times_s[i] - time_s
        return max(0.0, 0.5 * self.gravity * since * left)


def draw_bounces(rng: np.random.Generator, duration_s: float, gap_s: tuple[float, float], gravity: float) -> Bounces:
    """Random impacts: the first in ``FIRST_IMPACT_S``, then gaps drawn uniformly from ``gap_s``.

    None falls into the last ``LAST_IMPACT_BEFORE_END_S``, where it could hardly be heard.
    """
    first = float(rng.uniform(*FIRST_IMPACT_S))
    times = [first - float(rng.uniform(max(gap_s[0], FIRST_IMPACT_S[1] + 0.05), gap_s[1])), first]
    while times[-1] < duration_s:
        following = times[-1] + float(rng.uniform(*gap_s))
        if duration_s - LAST_IMPACT_BEFORE_END_S < following < duration_s:
            following = duration_s + 0.01
        times.append(following)
    return Bounces(np.array(times), gravity)
