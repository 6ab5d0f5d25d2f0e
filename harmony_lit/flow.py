"""Flow matching: x_t = (1 - sigma) x0 + sigma eps, velocity target eps - x0, time shift.

sigma runs from 0 (clean) to 1 (noise); the models are given t = sigma.
"""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import Tensor

Number = TypeVar("Number", float, Tensor)


def shift_time(t: Number, shift: float) -> Number:
    """sigma = s t / (1 + (s - 1) t) (Sec. 3.3: s = 5); maps [0, 1] onto itself, towards noise for s > 1."""
    return shift * t / (1 + (shift - 1) * t)


def add_noise(x0: Tensor, noise: Tensor, sigma: Tensor) -> Tensor:
    """x_t of each sample; ``sigma`` (B,) broadcasts over the other axes."""
    sigma = sigma.reshape(-1, *[1] * (x0.ndim - 1))
    return torch.lerp(x0, noise, sigma)


def velocity(x0: Tensor, noise: Tensor) -> Tensor:
    """The target: eps - x0."""
    return noise - x0


def clean_estimate(x_t: Tensor, v: Tensor, sigma: Tensor) -> Tensor:
    """x0 = x_t - sigma v."""
    return x_t - sigma.reshape(-1, *[1] * (x_t.ndim - 1)) * v
