"""Optimisers and schedules that YAML names; the module passes its trained parameters."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import nn

from harmony_lit.training.muon import MuonAdamW

NamedParameters = Iterable[tuple[str, nn.Parameter]]


class OptimizerFactory:
    """Base: builds an optimiser over named parameters."""

    def __call__(self, params: NamedParameters) -> torch.optim.Optimizer:
        """An optimiser of ``params``."""
        raise NotImplementedError(f"{type(self).__name__} must build an optimiser")


class AdamW(OptimizerFactory):
    """AdamW with one learning rate (the paper reports a constant 1e-5).

    Args:
        lr: Learning rate.
        betas: Decay of the moments.
        weight_decay: Decoupled weight decay.
    """

    def __init__(self, lr: float = 1e-5, betas: tuple[float, float] = (0.9, 0.999), weight_decay: float = 0.0) -> None:
        self.lr, self.betas, self.weight_decay = lr, betas, weight_decay

    def __call__(self, params: NamedParameters) -> torch.optim.Optimizer:
        """See the base."""
        tensors = [parameter for _, parameter in params]
        return torch.optim.AdamW(tensors, lr=self.lr, betas=self.betas, weight_decay=self.weight_decay)


class Muon(OptimizerFactory):
    """Muon on the matrices of the blocks and AdamW elsewhere: learns small models several times faster.

    Args:
        lr: Learning rate of Muon, scaled to AdamW's update size.
        adamw_lr: Learning rate of AdamW.
        momentum: Momentum of Muon.
        weight_decay: Decoupled weight decay.
    """

    def __init__(
        self, lr: float = 3e-3, adamw_lr: float = 1e-3, momentum: float = 0.95, weight_decay: float = 0.0
    ) -> None:
        self.lr, self.adamw_lr, self.momentum, self.weight_decay = lr, adamw_lr, momentum, weight_decay

    def __call__(self, params: NamedParameters) -> torch.optim.Optimizer:
        """See the base."""
        return MuonAdamW(
            params, lr=self.lr, adamw_lr=self.adamw_lr, momentum=self.momentum, weight_decay=self.weight_decay
        )


class Schedule:
    """Base: factor of the learning rate at each optimiser step."""

    def __call__(self, step: int) -> float:
        """Factor at ``step``."""
        raise NotImplementedError(f"{type(self).__name__} must give a factor")


class Constant(Schedule):
    """A linear warm-up, then constant (the paper's schedule with ``warmup_steps`` 0).

    Args:
        warmup_steps: Steps of the warm-up.
    """

    def __init__(self, warmup_steps: int = 0) -> None:
        self.warmup_steps = warmup_steps

    def __call__(self, step: int) -> float:
        """See the base."""
        return min(1.0, (step + 1) / (self.warmup_steps + 1))


class WarmupCosine(Constant):
    """A linear warm-up, then a cosine down to ``floor`` at ``total_steps``.

    Args:
        total_steps: Step at which the floor is reached.
        warmup_steps: Steps of the warm-up.
        floor: Last factor.
    """

    def __init__(self, total_steps: int, warmup_steps: int = 0, floor: float = 0.0) -> None:
        super().__init__(warmup_steps)
        self.total_steps, self.floor = total_steps, floor

    def __call__(self, step: int) -> float:
        """See the base."""
        progress = min(1.0, max(0, step - self.warmup_steps) / max(1, self.total_steps - self.warmup_steps))
        return super().__call__(step) * (self.floor + (1 - self.floor) * 0.5 * (1 + math.cos(math.pi * progress)))
