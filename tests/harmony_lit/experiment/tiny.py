"""A module and its data, small enough to train in a blink and random enough to notice an inexact resume."""

import os
import random
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningDataModule, LightningModule
from torch import Tensor, nn
from torch.utils.data import DataLoader


class Part(nn.Module):
    def __init__(self, width: int, depth: int = 1, kind: str = "plain") -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        self.dropout = nn.Dropout(0.2)  # draws from the global generator

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = self.dropout(layer(x).tanh())
        return x


class TinyModule(LightningModule):
    def __init__(
        self, part: Callable[[int], Part] = Part, width: int = 4, lr: float = 1e-2, extra: bool = False
    ) -> None:
        super().__init__()
        self.part = part(width)
        self.head = nn.Linear(width, 1)
        self.extra = nn.Linear(1, 1) if extra else None
        self.lr = lr

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        self._maybe_die("step")
        noise = random.random() * torch.randn_like(batch)
        loss = self.head(self.part(batch + noise)).square().mean()
        self.log("train/loss", loss)
        return loss

    def validation_step(self, batch: Tensor, batch_idx: int) -> None:
        self._maybe_die("validation")
        torch.rand(3)  # validation may use the global generator as it likes
        self.log("val/loss", self.head(self.part(batch)).square().mean())

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        if self._is_place("write"):
            checkpoint["bomb"] = Bomb()

    def on_fit_end(self) -> None:
        self._maybe_die("end")

    def _maybe_die(self, what: str) -> None:
        if self._is_place(what):
            os.kill(os.getpid(), signal.SIGKILL)

    def _is_place(self, what: str) -> bool:
        """Whether the file ``kill`` beside the run's folder names this moment, such as ``step one 3``."""
        stage = Path(self.trainer.default_root_dir)
        order = stage.parents[2] / "kill"
        return order.is_file() and order.read_text() == f"{what} {stage.name} {self.global_step}"

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.AdamW(self.parameters(), lr=self.lr)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=40)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class StatefulLoader:
    """Endless; batch n is a function of the seed and n."""

    def __init__(self, seed: int, width: int) -> None:
        self.seed, self.width, self.position = seed, width, 0

    def __len__(self) -> int:
        return 10**9

    def __iter__(self) -> Iterator[Tensor]:
        while True:
            generator = torch.Generator().manual_seed(self.seed * 1000 + self.position)
            self.position += 1
            yield torch.randn(8, self.width, generator=generator)

    def state_dict(self) -> dict[str, int]:
        return {"position": self.position}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.position = state["position"]


class TinyData(LightningDataModule):
    def __init__(self, seed: int = 0, width: int = 4) -> None:
        super().__init__()
        self.seed, self.width = seed, width

    def train_dataloader(self) -> StatefulLoader:
        return StatefulLoader(self.seed, self.width)

    def val_dataloader(self) -> DataLoader:
        return DataLoader(torch.ones(16, self.width), batch_size=8)


class Bomb:
    """Kills the process that pickles it, in the middle of a file."""

    def __reduce__(self) -> Any:
        os.kill(os.getpid(), signal.SIGKILL)
