"""One stage: a Lightning fit in a process and a folder of its own."""

from __future__ import annotations

import ctypes
import logging
import multiprocessing
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import lightning
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger

from harmony_lit.experiment.atomic import remove_scratch
from harmony_lit.experiment.checkpoints import (
    AtomicCheckpointIO,
    ResumeCheckpoint,
    SeedEachStep,
    newest_checkpoint,
    read_checkpoint,
)
from harmony_lit.experiment.elsewhere import KEY, Elsewhere
from harmony_lit.experiment.memory import tell, training_need
from harmony_lit.experiment.merge import Tree
from harmony_lit.experiment.nodes import build
from harmony_lit.experiment.phases import phase
from harmony_lit.experiment.progress import StageProgress
from harmony_lit.experiment.run_folder import RunFolder, StageFolder, locked
from harmony_lit.experiment.stage import CheckpointSettings, StartFrom, as_lists
from harmony_lit.experiment.weights import export_adapters, export_weights, read_start
from harmony_lit.pretrained.load import load_pieces, tensors_of
from harmony_lit.pretrained.save import save_file
from harmony_lit.training.precision import BFloat16Weights

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
    lightning.seed_everything(seed, workers=True, verbose=False)
    resume = newest_checkpoint(folder.path)
    module = build(stage["model"], f"stages.{name}.model")
    if stage["trainer"]["max_steps"] == 0:
        return _take_over(run, folder, module, StartFrom.of(stage["start_from"]))
    data = build(stage["data"], f"stages.{name}.data")
    trainer = build(_trainer_node(run, folder, name, stage, seed, resume), f"stages.{name}.trainer")
    if resume is not None:
        log.info("going on from %s", resume)
    if stage.get("start_from") and (resume is None or KEY in read_checkpoint(resume)):
        start = StartFrom.of(stage["start_from"])
        pieces = read_start(start, run)
        fresh = load_pieces(module, pieces, start.may_be_missing)
        log.info("weights from %s", ", ".join(str(piece.source.path) for piece in pieces))
        if fresh:
            log.info("not in them, so begun afresh: %s", ", ".join(fresh))
        io = trainer.strategy.checkpoint_io
        assert isinstance(io, AtomicCheckpointIO)
        io.elsewhere = Elsewhere(module, set(tensors_of(module)) - set(fresh))
    module.configure_model()
    log.info("%s", _parameters(module))
    tell(training_need(run.experiment(), module, name))
    try:
        trainer.fit(module, datamodule=data, ckpt_path=resume, weights_only=True)
    except SystemExit as stop:
        # Lightning turns Ctrl-C into exit code 1; the shell's convention is 130.
        raise KeyboardInterrupt from stop
    if not trainer.is_global_zero:
        return True
    steps = int(trainer.global_step)
    if steps < trainer.max_steps:
        return False
    export_weights(folder.checkpoint, folder.weights)
    export_adapters(folder.checkpoint, folder.adapter)
    folder.finish({"steps": steps, "seconds_since_resume": round(time.monotonic() - began, 2)})
    return True


def _take_over(run: RunFolder, folder: StageFolder, module: LightningModule, start: StartFrom) -> bool:
    """A stage of no steps: what it starts from is what it leaves."""
    load_pieces(module, read_start(start, run), start.may_be_missing)
    state = module.state_dict()
    save_file(folder.weights, state, state.__getitem__)
    folder.finish({"steps": 0})
    return True


def _parameters(module: LightningModule) -> str:
    total = sum(parameter.numel() for parameter in module.parameters())
    trained = sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)
    return f"{total / 1e6:.2f} M parameters, {trained / 1e6:.2f} M of them trained"


def _trainer_node(
    run: RunFolder, folder: StageFolder, name: str, stage: Tree, seed: int, resume: Path | None
) -> dict[str, Any]:
    """The stage's trainer with the stage's own folder, and the parts that make it resume exactly."""
    arguments = as_lists(stage.get("trainer") or {})
    settings = CheckpointSettings(**(stage.get("checkpoint") or {}))
    own = [
        _node(SeedEachStep, seed=seed),
        _node(
            ResumeCheckpoint,
            folder=str(folder.path),
            every_n_steps=settings.every_n_steps,
            every_s=settings.every_s,
        ),
    ]
    if arguments.get("enable_progress_bar", True):
        own.append(_node(StageProgress, name=name))
    arguments["callbacks"] = [*_listed(arguments.get("callbacks")), *own]
    arguments["plugins"] = [*_listed(arguments.get("plugins")), _node(AtomicCheckpointIO)]
    if arguments.get("precision") == "bf16-true":  # Lightning's own would round what Wan keeps in fp32
        del arguments["precision"]
        arguments["plugins"].append(_node(BFloat16Weights))
    arguments["default_root_dir"] = str(folder.path)
    if arguments.get("logger") in (None, True):
        # Steps logged after the last save will be logged again: TensorBoard shall forget the first time.
        step = None if resume is None else int(read_checkpoint(resume)["global_step"])
        logger = _node(TensorBoardLogger, save_dir=str(run.path / "tb"), name=name, version="")
        arguments["logger"] = {**logger, "dict_kwargs": {"purge_step": step}}
    return _node(Trainer, **arguments)


def _node(target: type, **arguments: Any) -> dict[str, Any]:
    return {"class_path": f"{target.__module__}.{target.__name__}", "init_args": arguments}


def _listed(value: Any) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def die_with_parent() -> None:
    """Has the kernel kill this process when its parent dies, so that a killed run leaves no stage behind (Linux)."""
    if sys.platform != "linux":
        return
    set_death_signal = 1  # PR_SET_PDEATHSIG
    ctypes.CDLL(None, use_errno=True).prctl(set_death_signal, signal.SIGKILL)
    parent = multiprocessing.parent_process()
    if parent is not None and not parent.is_alive():  # it died before the call
        os.kill(os.getpid(), signal.SIGKILL)
