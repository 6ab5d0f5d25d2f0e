"""One stage: a Lightning fit in a process and a folder of its own."""

from __future__ import annotations

import ctypes
import logging
import multiprocessing
import os
import signal
import sys
import time
import warnings
from pathlib import Path

from jsonargparse import ArgumentError
from lightning.pytorch import Callback, LightningDataModule, LightningModule
from lightning.pytorch.cli import LightningCLI

from harmony_lit.errors import UserError
from harmony_lit.experiment.atomic import remove_scratch
from harmony_lit.experiment.checkpoints import (
    AtomicCheckpointIO,
    ResumeCheckpoint,
    SeedEachStep,
    newest_checkpoint,
    read_checkpoint,
)
from harmony_lit.experiment.merge import Tree
from harmony_lit.experiment.phases import phase
from harmony_lit.experiment.run_folder import RunFolder, StageFolder, locked
from harmony_lit.experiment.stage import CheckpointSettings, StartFrom, lightning_config
from harmony_lit.experiment.weights import export_weights, load_strictly, read_start

log = logging.getLogger(__name__)


def train_stage(run: RunFolder, name: str) -> bool:
    """Trains a stage from its start or from its last checkpoint, and leaves its weights.

    Returns:
        Whether the stage has reached its last step; it has not if ``trainer.max_time`` stopped it before.

    Raises:
        UserError: If the weights to start from do not fit, or another process is at work in the stage.
    """
    experiment = run.experiment()
    stage, seed, folder = experiment.stages[name], int(experiment.config["seed"]), run.stage(name)
    # Ranks that Lightning starts beside this process share its folder.
    if int(os.environ.get("LOCAL_RANK", 0)) > 0:
        return _train(run, folder, name, stage, seed)
    # A killed run's stage may still be dying: it is given the time.
    with locked(folder.path / ".lock", wait_s=30), phase(run.path, f"fit {name}", whole_process=True):
        remove_scratch(folder.path)
        return _train(run, folder, name, stage, seed)


def _train(run: RunFolder, folder: StageFolder, name: str, stage: Tree, seed: int) -> bool:
    began = time.monotonic()
    resume = newest_checkpoint(folder.path)
    settings = CheckpointSettings(**(stage.get("checkpoint") or {}))
    config = lightning_config(stage, seed)
    trainer = config["trainer"]
    trainer["default_root_dir"] = str(folder.path)
    _add_logger_and_plugin(trainer, run, name, resume)
    keeper = ResumeCheckpoint(folder.path, settings.every_n_steps, settings.every_s)
    cli = _instantiate(name, config, [SeedEachStep(seed), keeper])
    if resume is None and stage.get("start_from"):
        start = StartFrom(**stage["start_from"])
        weights, source = read_start(start, run)
        load_strictly(cli.model, weights, start.may_be_missing, str(source))
    if resume is not None:
        log.info("going on from %s", resume)
    try:
        cli.trainer.fit(cli.model, datamodule=cli.datamodule, ckpt_path=resume, weights_only=True)
    except SystemExit as stop:
        # Lightning turns Ctrl-C into exit code 1; the shell's convention is 130.
        raise KeyboardInterrupt from stop
    if not cli.trainer.is_global_zero:
        return True
    steps = int(cli.trainer.global_step)
    if steps < config["trainer"]["max_steps"]:
        return False
    export_weights(folder.checkpoint, folder.weights)
    folder.finish({"steps": steps, "seconds_since_resume": round(time.monotonic() - began, 2)})
    return True


def _add_logger_and_plugin(trainer: Tree, run: RunFolder, name: str, resume: Path | None) -> None:
    """Logs to the run's TensorBoard folder unless the experiment says otherwise, and writes checkpoints atomically."""
    io = {"class_path": f"{AtomicCheckpointIO.__module__}.{AtomicCheckpointIO.__name__}"}
    plugins = trainer.get("plugins") or []
    trainer["plugins"] = [*(plugins if isinstance(plugins, list) else [plugins]), io]
    if trainer.get("logger") in (None, True):
        trainer["logger"] = {
            "class_path": "lightning.pytorch.loggers.TensorBoardLogger",
            "init_args": {"save_dir": str(run.path / "tb"), "name": name, "version": ""},
            # Steps logged after the last save will be logged again: TensorBoard shall forget the first time.
            "dict_kwargs": {"purge_step": None if resume is None else int(read_checkpoint(resume)["global_step"])},
        }


def _instantiate(name: str, config: Tree, callbacks: list[Callback]) -> LightningCLI:
    """Builds model, data and trainer as LightningCLI does, from plain values alone."""
    # The warning is about reading sys.argv and args both; sys.argv stays, since DDP's launcher runs it again.
    warnings.filterwarnings("ignore", message="LightningCLI's args parameter")
    try:
        return LightningCLI(
            LightningModule,
            LightningDataModule,
            args=config,
            run=False,
            subclass_mode_model=True,
            subclass_mode_data=True,
            auto_configure_optimizers=False,
            save_config_callback=None,
            trainer_defaults={"callbacks": callbacks},
            parser_kwargs={"exit_on_error": False},
        )
    except ArgumentError as error:
        raise UserError(f"stages.{name}: {error}") from error


def die_with_parent() -> None:
    """Has the kernel kill this process when its parent dies, so that a killed run leaves no stage behind (Linux)."""
    if sys.platform != "linux":
        return
    set_death_signal = 1  # PR_SET_PDEATHSIG
    ctypes.CDLL(None, use_errno=True).prctl(set_death_signal, signal.SIGKILL)
    parent = multiprocessing.parent_process()
    if parent is not None and not parent.is_alive():  # it died before the call
        os.kill(os.getpid(), signal.SIGKILL)
