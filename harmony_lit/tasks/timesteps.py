"""Timesteps of training: their distribution, their shift, and whether the modalities share them.

Shape legend: B batch.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from harmony_lit.flow import shift_time


# Base classes rather than protocols: jsonargparse takes a protocol with __call__ for a function that makes a Tensor.
class TimeDistribution(ABC):
    """Draws t in (0, 1) before the shift."""

    @abstractmethod
    def __call__(self, size: int, generator: Generator) -> Tensor:
        """(size,) on the generator's device."""


@dataclass(frozen=True)
class Uniform(TimeDistribution):
    """t ~ U(0, 1); stratified over the batch, which lowers the variance of the loss at no cost."""

    stratified: bool = False

    def __call__(self, size: int, generator: Generator) -> Tensor:
        """See ``TimeDistribution``."""
        u = torch.rand(size, generator=generator, device=generator.device)
        if not self.stratified:
            return u
        order = torch.randperm(size, generator=generator, device=generator.device)
        return (order + u) / size


@dataclass(frozen=True)
class LogitNormal(TimeDistribution):
    """sigmoid of a normal (Stable Diffusion 3): more samples where prediction is hard.

    Args:
        mean: Mean of the normal; above 0 leans towards noise.
        std: Its standard deviation.
        stratified: Spread each batch evenly over the quantiles.
    """

    mean: float = 0.0
    std: float = 1.0
    stratified: bool = False

    def __call__(self, size: int, generator: Generator) -> Tensor:
        """See ``TimeDistribution``."""
        u = Uniform(self.stratified)(size, generator).clamp(1e-4, 1 - 1e-4)
        return torch.sigmoid(self.mean + self.std * torch.special.ndtri(u))


@dataclass(frozen=True)
class Timesteps:
    """Sigmas of both modalities, each (B,)."""

    video: Tensor
    audio: Tensor


class TimestepSampler(ABC):
    """Draws the sigmas of a batch."""

    @abstractmethod
    def __call__(self, size: int, generator: Generator) -> Timesteps:
        """Sigmas of ``size`` samples."""


class SharedTimesteps(TimestepSampler):
    """One t for both modalities, then each modality's shift.

    Args:
        distribution: Of t before the shift; uniform if not given.
        video_shift: Shift of the video's sigma (the paper's 5).
        audio_shift: Shift of the audio's sigma.
    """

    def __init__(
        self, distribution: TimeDistribution | None = None, video_shift: float = 5.0, audio_shift: float = 5.0
    ) -> None:
        self.distribution: TimeDistribution = distribution or Uniform()
        self.video_shift, self.audio_shift = video_shift, audio_shift

    def __call__(self, size: int, generator: Generator) -> Timesteps:
        """See ``TimestepSampler``."""
        t = self.distribution(size, generator)
        return Timesteps(shift_time(t, self.video_shift), shift_time(t, self.audio_shift))


class IndependentTimesteps(TimestepSampler):
    """A t of its own for each modality, then each modality's shift.

    Args:
        distribution: Of t before the shift; uniform if not given.
        video_shift: Shift of the video's sigma.
        audio_shift: Shift of the audio's sigma.
    """

    def __init__(
        self, distribution: TimeDistribution | None = None, video_shift: float = 5.0, audio_shift: float = 5.0
    ) -> None:
        self.distribution: TimeDistribution = distribution or Uniform()
        self.video_shift, self.audio_shift = video_shift, audio_shift

    def __call__(self, size: int, generator: Generator) -> Timesteps:
        """See ``TimestepSampler``."""
        video = self.distribution(size, generator)
        audio = self.distribution(size, generator)
        return Timesteps(shift_time(video, self.video_shift), shift_time(audio, self.audio_shift))
