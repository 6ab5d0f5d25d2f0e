"""A small HarmonyModule that an experiment can name, with data that resume."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningDataModule

from harmony_lit.containers import Batch
from harmony_lit.training import AdamW, HarmonyModule
from harmony_lit.training.lora import LoRA
from tests.harmony_lit.builders import make_batch, make_model
from tests.harmony_lit.training.test_module import FakeSystem


class AdaptedModule(HarmonyModule):
    """Fails once at the step that the file ``fail`` beside the run names."""

    def __init__(self, adapters: dict[str, LoRA] | None = None, frozen: list[str] | None = None) -> None:
        super().__init__(
            FakeSystem(), lambda dims: make_model(), optimizer=AdamW(1e-2), adapters=adapters, frozen=frozen or ()
        )

    def training_step(self, batch: Batch, batch_idx: int) -> torch.Tensor:
        order = Path(self.trainer.default_root_dir).parents[2] / "fail"
        if order.is_file() and int(order.read_text()) == self.global_step:
            order.unlink()
            raise RuntimeError("as ordered")
        return super().training_step(batch, batch_idx)


class Loader:
    """Endless; batch n is a function of n."""

    def __init__(self) -> None:
        self.position = 0

    def __len__(self) -> int:
        return 10**9  # known, so that Lightning does not read ahead to find the end

    def __iter__(self) -> Iterator[Batch]:
        while True:
            self.position += 1
            yield make_batch(seed=self.position)

    def state_dict(self) -> dict[str, Any]:
        return {"position": self.position}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.position = state["position"]


class AdaptedData(LightningDataModule):
    def train_dataloader(self) -> Loader:
        return Loader()
