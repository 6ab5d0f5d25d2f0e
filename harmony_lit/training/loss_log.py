"""Losses by task, modality and sigma bucket, averaged between two logs."""

from __future__ import annotations

import torch
from torch import Tensor

from harmony_lit.tasks import MixtureLoss, Timesteps


class LossLog:
    """Sums of per-sample losses; tags are ``train/TASK/MODALITY`` and ``train_sigma/TASK/MODALITY/LOW-HIGH``.

    Sums stay on the device until ``flush``, so that logging waits for no kernel.

    Args:
        buckets: Equal parts of sigma's range [0, 1].
    """

    def __init__(self, buckets: int = 4) -> None:
        if buckets < 1:
            raise ValueError(f"model.sigma_buckets must be at least 1, got {buckets}")
        self.buckets = buckets
        self._sums: dict[tuple[str, str], Tensor] = {}

    def add(self, loss: MixtureLoss, sigma: Timesteps) -> None:
        """Adds the losses of one step."""
        for task, parts in loss.parts.items():
            for modality, values, at in (("video", parts.video, sigma.video), ("audio", parts.audio, sigma.audio)):
                if values is None:
                    continue
                values = values.detach().float()
                bucket = (at * self.buckets).long().clamp(max=self.buckets - 1)
                sums = torch.zeros(2, self.buckets, device=values.device)
                sums[0].index_add_(0, bucket, values)
                sums[1].index_add_(0, bucket, torch.ones_like(values))
                key = (task, modality)
                self._sums[key] = self._sums[key] + sums if key in self._sums else sums

    def flush(self) -> dict[str, float]:
        """Mean losses since the last flush, by tag; empty buckets are left out."""
        scalars: dict[str, float] = {}
        for (task, modality), sums in self._sums.items():
            totals, counts = sums.cpu()
            scalars[f"train/{task}/{modality}"] = float(totals.sum() / counts.sum())
            for index in range(self.buckets):
                if counts[index] > 0:
                    low, high = index / self.buckets, (index + 1) / self.buckets
                    tag = f"train_sigma/{task}/{modality}/{low:.2f}-{high:.2f}"
                    scalars[tag] = float(totals[index] / counts[index])
        self._sums.clear()
        return scalars
