"""A module and its data, small enough to train in a blink and random enough to notice an inexact resume."""

import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from lightning.pytorch import LightningDataModule, LightningModule
from torch import Tensor, nn


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
        wait = os.environ.get("TINY_STEP_S")
        if wait:
            time.sleep(float(wait))
        kill_at = os.environ.get("TINY_KILL_AT_STEP")
        if kill_at and self.global_step == int(kill_at) and _first_time("train"):
            os.kill(os.getpid(), signal.SIGKILL)
        noise = random.random() * torch.randn_like(batch)
        loss = self.head(self.part(batch + noise)).square().mean()
        self.log("train/loss", loss)
        return loss

    def validation_step(self, batch: Tensor, batch_idx: int) -> None:
        if os.environ.get("TINY_KILL_IN_VALIDATION") and _first_time("validation"):
            os.kill(os.getpid(), signal.SIGKILL)
        torch.rand(3)  # validation may use the global generator as it likes
        self.log("val/loss", self.head(self.part(batch)).square().mean())

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

    def val_dataloader(self) -> list[Tensor]:
        return list(torch.ones(2, 8, self.width))


def _first_time(what: str) -> bool:
    """Whether this is the first process to come here (a marker file remembers)."""
    marker = os.path.join(os.environ["TINY_MARKERS"], what)
    if os.path.exists(marker):
        return False
    open(marker, "w").close()
    return True
