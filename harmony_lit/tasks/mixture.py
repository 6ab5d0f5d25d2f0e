"""How the tasks share a step: all of them, or one drawn with its loss reweighted (Sec. 3.3).

L = L_joint + lambda_v L_audio-driven + lambda_a L_video-driven.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from harmony_lit.containers import Batch
from harmony_lit.tasks.base import Network, Noise, Task, TaskLoss


@dataclass(frozen=True)
class MixtureLoss:
    """``total`` is differentiable; ``parts`` holds the per-sample losses of the tasks that ran, by name."""

    total: Tensor
    parts: Mapping[str, TaskLoss]


class TaskMixture:
    """Base of the mixtures.

    Args:
        tasks: The tasks, by a name of the user's choice (so that YAML can override one).
        video_weight: Weight of every video loss.
        audio_weight: Weight of every audio loss.
    """

    def __init__(self, tasks: dict[str, Task], video_weight: float = 1.0, audio_weight: float = 1.0) -> None:
        if not any(task.weight > 0 for task in tasks.values()):
            raise ValueError("tasks: at least one task needs a weight above zero")
        self.tasks = {name: task for name, task in tasks.items() if task.weight > 0}
        self.video_weight, self.audio_weight = video_weight, audio_weight

    def choose(self, step: int, generator: Generator) -> dict[str, float]:
        """Names of the tasks to run at optimiser step ``step``, with the factor of their loss."""
        raise NotImplementedError(f"{type(self).__name__} must choose the tasks of a step")

    def __call__(self, network: Network, batch: Batch, noise: Noise, step: int, generator: Generator) -> MixtureLoss:
        """Runs the chosen tasks on the same sample, noise and sigma."""
        parts = {}
        total = batch.audio.x.new_zeros(())
        for name, factor in self.choose(step, generator).items():
            loss = parts[name] = self.tasks[name](network, batch, noise)
            if loss.video is not None:
                total = total + factor * self.video_weight * loss.video.mean()
            if loss.audio is not None:
                total = total + factor * self.audio_weight * loss.audio.mean()
        return MixtureLoss(total, parts)

    def active(self, step: int) -> dict[str, Task]:
        """Tasks that have started by ``step``.

        Raises:
            ValueError: If none has.
        """
        active = {name: task for name, task in self.tasks.items() if step >= task.start_step}
        if not active:
            raise ValueError(f"tasks: none has started at step {step}; give one start_step: 0")
        return active


class SumOfTasks(TaskMixture):
    """Every active task in every step, as the paper's sum."""

    def choose(self, step: int, generator: Generator) -> dict[str, float]:
        """All active tasks with their weights."""
        return {name: task.weight for name, task in self.active(step).items()}


class SampledTask(TaskMixture):
    """One active task per step, its loss reweighted so that the expectation is the sum's.

    Args:
        tasks: As for every mixture.
        video_weight: As for every mixture.
        audio_weight: As for every mixture.
        probabilities: Of each task by name, scaled to sum to one over the active ones; by default in proportion to
            the weights. Task k's loss is multiplied by weight_k / probability_k.
    """

    def __init__(
        self,
        tasks: dict[str, Task],
        video_weight: float = 1.0,
        audio_weight: float = 1.0,
        probabilities: dict[str, float] | None = None,
    ) -> None:
        super().__init__(tasks, video_weight, audio_weight)
        chances = probabilities or {name: task.weight for name, task in self.tasks.items()}
        if set(chances) != set(self.tasks) or any(p <= 0 for p in chances.values()):
            raise ValueError(
                f"tasks.probabilities: give a probability above zero for each of {sorted(self.tasks)}, got {chances}"
            )
        self.probabilities = chances

    def choose(self, step: int, generator: Generator) -> dict[str, float]:
        """One task, drawn with ``generator``."""
        active = self.active(step)
        chances = torch.tensor([self.probabilities[name] for name in active], dtype=torch.float64)
        chances = chances / chances.sum()
        # Inverse transform rather than multinomial: the same draw on every device.
        draw = torch.rand((), generator=generator, device=generator.device, dtype=torch.float64).item()
        index = min(int((chances.cumsum(0) <= draw).sum()), len(active) - 1)
        name = list(active)[index]
        return {name: active[name].weight / chances[index].item()}
