"""Progress of a stage: a bar in a terminal, a line now and then in a log."""

from __future__ import annotations

import sys
import time
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import RichProgressBar


class StageProgress(RichProgressBar):
    """Lightning's bar under the stage's name, or lines with the ETA where there is no terminal.

    Args:
        name: Name of the stage.
        every_s: Seconds between two lines of a log.
    """

    def __init__(self, name: str = "train", every_s: float = 20.0) -> None:
        super().__init__(leave=True)
        self.name, self.every_s = name, every_s
        self._said_at = self._began_at = time.monotonic()
        self._first_step = 0

    def _get_train_description(self, current_epoch: int) -> str:
        return self.name

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begins to count."""
        super().on_train_start(trainer, pl_module)
        self._said_at = self._began_at = time.monotonic()
        self._first_step = trainer.global_step

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Moves the bar, or says how far the stage is."""
        super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)
        now = time.monotonic()
        if sys.stdout.isatty() or not trainer.is_global_zero or now - self._said_at < self.every_s:
            return
        self._said_at = now
        rate = (trainer.global_step - self._first_step) / (now - self._began_at)
        left_s = (trainer.max_steps - trainer.global_step) / max(rate, 1e-9)
        loss = trainer.progress_bar_metrics.get("train/loss")
        told = f", loss {loss:.3f}" if isinstance(loss, float) else ""
        done = f"{self.name}: step {trainer.global_step}/{trainer.max_steps}{told}"
        print(f"{done}, {rate:.1f} steps/s, ETA {_clock(left_s)}", flush=True)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"
