"""Moving average of the weights: what validation, sampling and the next stage use."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import WeightAveraging
from torch import Tensor, nn


class EMA(WeightAveraging):
    """Exponential moving average, updated after every optimiser step.

    What is frozen is not kept twice: the average has the model's own tensor. The average is in fp32 also where the
    weights are in bfloat16, whose steps are too coarse for it. Unlike Lightning's ``EMAWeightAveraging`` it adds a
    fraction of the difference rather than summing two products, so that a tensor that equals its average stays the
    same to the last bit; and it averages over less at the beginning, so that short stages are not held back by their
    random start.

    Args:
        decay: Decay per step, reached after a warm-up: step n uses min(decay, (1 + n) / (10 + n)).
        device: Where the average lives: by default where the model is trained; ``cpu`` saves the accelerator 4 bytes
            per trained parameter and moves them at every step.
    """

    def __init__(self, decay: float = 0.999, device: str | None = None) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"callbacks.ema: decay must lie in [0, 1), got {decay}")
        self.decay, self.place = decay, device
        super().__init__(multi_avg_fn=self._update)

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Makes the average, which shares what is frozen."""
        super().setup(trainer, pl_module, stage)
        if self._average_model is not None:
            for name, parameter in pl_module.named_parameters():
                if not parameter.requires_grad:
                    path, _, leaf = name.rpartition(".")
                    setattr(self._average_model.module.get_submodule(path), leaf, parameter)
            # Lightning would leave it where the model is before it moves to the accelerator.
            for mean, current in zip(_tensors(self._average_model.module), _tensors(pl_module), strict=True):
                if mean is not current:
                    mean.data = mean.data.to(self.place or trainer.strategy.root_device)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Averages after an optimiser step."""
        assert self._average_model is not None
        wide = _Wide(pl_module, self._average_model.module)
        super().on_train_batch_end(trainer, wide, outputs, batch, batch_idx)  # type: ignore[arg-type]

    def _swap_models(self, pl_module: LightningModule) -> None:
        """Exchanges the tensors themselves, so that neither is rounded to the other's type."""
        assert self._average_model is not None
        average = self._average_model.module
        pairs = zip(_tensors(average), _tensors(pl_module), strict=True)
        for mean, current in pairs:
            if mean is not current:
                mean.data, current.data = current.data.to(mean.device), mean.data.to(current.device)

    @torch.no_grad()
    def _update(self, averages: Sequence[Tensor], current: Sequence[Tensor], steps: Tensor | int) -> None:
        """Average <- average + (1 - decay) (current - average)."""
        n = int(steps)
        weight = 1 - min(self.decay, (1 + n) / (10 + n))
        if torch.is_floating_point(averages[0]):
            torch._foreach_lerp_(list(averages), list(current), weight)
        else:
            torch._foreach_copy_(list(averages), list(current))


class _Wide:
    """A module's tensors in the types of those that average them."""

    def __init__(self, module: nn.Module, like: nn.Module) -> None:
        self._module, self._like = module, like

    def parameters(self) -> Iterator[Tensor]:
        """As a module's."""
        for mean, current in zip(self._like.parameters(), self._module.parameters(), strict=True):
            yield current.detach().to(mean.dtype)

    def buffers(self) -> Iterator[Tensor]:
        """As a module's."""
        return self._module.buffers()


def _tensors(module: nn.Module) -> Iterator[Tensor]:
    return itertools.chain(module.parameters(), module.buffers())
