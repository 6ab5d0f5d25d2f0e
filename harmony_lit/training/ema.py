"""Moving average of the weights: what validation, sampling and the next stage use."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from lightning.pytorch.callbacks import WeightAveraging
from torch import Tensor


class EMA(WeightAveraging):
    """Exponential moving average, updated after every optimiser step.

    Unlike Lightning's ``EMAWeightAveraging`` it adds a fraction of the difference rather than summing two products, so
    that a frozen tensor, which equals its average, stays the same to the last bit; and it averages over less at the
    beginning, so that short stages are not held back by their random start.

    Args:
        decay: Decay per step, reached after a warm-up: step n uses min(decay, (1 + n) / (10 + n)).
    """

    def __init__(self, decay: float = 0.999) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"callbacks.ema: decay must lie in [0, 1), got {decay}")
        self.decay = decay
        super().__init__(multi_avg_fn=self._update)

    @torch.no_grad()
    def _update(self, averages: Sequence[Tensor], current: Sequence[Tensor], steps: Tensor | int) -> None:
        """Average <- average + (1 - decay) (current - average)."""
        n = int(steps)
        weight = 1 - min(self.decay, (1 + n) / (10 + n))
        if torch.is_floating_point(averages[0]):
            torch._foreach_lerp_(list(averages), list(current), weight)
        else:
            torch._foreach_copy_(list(averages), list(current))
