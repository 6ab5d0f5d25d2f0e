"""Checkpoints from which a killed stage goes on to the same weights, bit for bit.

A checkpoint is only ever taken between two steps, right after a training batch: there weights, optimiser, schedule,
moving average, loader position and step count agree. Lightning's own ``save_on_exception`` would save in the middle of
a step, where they do not, so an exception writes nothing and the run goes on from the checkpoint before.
"""

from __future__ import annotations

import hashlib
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint

from harmony_lit.errors import UserError
from harmony_lit.experiment.atomic import replacing
from harmony_lit.experiment.elsewhere import Elsewhere

LAST = "last.ckpt"


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes checkpoints whole or not at all, and reads nothing but tensors and plain values.

    Attributes:
        elsewhere: What checkpoints leave out, once it is known.
    """

    elsewhere: Elsewhere | None = None

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Writes beside ``path`` and renames; Lightning's own writer goes through the system's temporary folder."""
        if "://" in str(path):
            super().save_checkpoint(checkpoint, path, storage_options)
            return
        if self.elsewhere is not None:
            self.elsewhere.take_out(checkpoint)
        with replacing(path) as file:
            torch.save(checkpoint, file)

    def load_checkpoint(self, path: Any, map_location: Any = "cpu", weights_only: bool | None = True) -> dict[str, Any]:
        """Reads with ``weights_only=True``, so that a checkpoint can never run code."""
        checkpoint = super().load_checkpoint(path, map_location, weights_only=True)
        if self.elsewhere is not None:
            self.elsewhere.put_back(checkpoint)
        return checkpoint


class ResumeCheckpoint(Checkpoint):
    """Keeps ``last.ckpt`` of a stage, by steps, by time, at the last step, and when asked to stop.

    Ctrl-C and SIGTERM let the step end, save, and then stop; a second Ctrl-C stops at once.

    Args:
        folder: Where ``last.ckpt`` lies.
        every_n_steps: Save after so many optimiser steps.
        every_s: Save after so many seconds, if that comes first; None for never.
    """

    def __init__(self, folder: str, every_n_steps: int = 1000, every_s: float | None = 120.0) -> None:
        self.path = Path(folder) / LAST
        self.every_n_steps, self.every_s = every_n_steps, every_s
        self.interrupted = False
        self._saved_step, self._saved_at = -1, time.monotonic()
        self._handler: Callable[[int, FrameType | None], Any] | int | None = None

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Takes Ctrl-C over."""
        self._saved_at = time.monotonic()
        self._handler = signal.signal(signal.SIGINT, self._on_interrupt)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Gives Ctrl-C back."""
        if self._handler is not None:
            signal.signal(signal.SIGINT, self._handler)
            self._handler = None

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Saves if it is time to; runs after all other callbacks, so that the moving average is up to date."""
        step = trainer.global_step
        stopping = self.interrupted or trainer.received_sigterm or step >= trainer.max_steps
        if step != self._saved_step and not self._accumulating(trainer, batch_idx):
            due = step % self.every_n_steps == 0 or self._time_is_up()
            if stopping or trainer.strategy.reduce_boolean_decision(due, all=False):
                trainer.save_checkpoint(self.path, weights_only=False)
                self._saved_step, self._saved_at = step, time.monotonic()
        if self.interrupted:
            raise KeyboardInterrupt

    def on_validation_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Leaves a validation that Ctrl-C came into."""
        if self.interrupted:
            raise KeyboardInterrupt

    def _time_is_up(self) -> bool:
        return self.every_s is not None and time.monotonic() - self._saved_at >= self.every_s

    @staticmethod
    def _accumulating(trainer: Trainer, batch_idx: int) -> bool:
        """Whether gradients are half summed, which no checkpoint holds."""
        return (batch_idx + 1) % trainer.accumulate_grad_batches != 0 and not trainer.is_last_batch

    def _on_interrupt(self, signum: int, frame: FrameType | None) -> None:
        if self.interrupted:
            raise KeyboardInterrupt
        self.interrupted = True
        print("\nstopping after this step; press Ctrl-C again to stop at once", flush=True)


class SeedEachStep(Callback):
    """Seeds the global generators from (seed, step, rank), so that dropout draws the same after a resume.

    Args:
        seed: The experiment's seed.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Seeds before the step."""
        place = f"{self.seed}/{trainer.global_step}/{batch_idx}/{trainer.global_rank}"
        number = int.from_bytes(hashlib.blake2b(place.encode(), digest_size=8).digest(), "little")
        torch.manual_seed(number % 2**63)
        np.random.seed(number % 2**32)
        random.seed(number)


def newest_checkpoint(folder: Path) -> Path | None:
    """The newest of ``last.ckpt`` and the ``hpc_ckpt_*`` that SLURM's preemption leaves, or None."""
    found = [*folder.glob(LAST), *folder.glob("hpc_ckpt_*.ckpt")]
    return max(found, key=lambda path: path.stat().st_mtime_ns, default=None)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The content of a checkpoint, on the CPU, tensors and plain values only.

    Raises:
        UserError: If the file is missing or is not a checkpoint.
    """
    if not path.is_file():
        raise UserError(f"there is no checkpoint {path}")
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:
        raise UserError(f"{path} is not a readable checkpoint: {' '.join(str(error).split())[:200]}") from error
    if not isinstance(checkpoint, dict) or "state_dict" not in checkpoint:
        raise UserError(f"{path} is not a checkpoint of a stage: it has no state_dict")
    return checkpoint
