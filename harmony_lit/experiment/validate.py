"""Checks a whole experiment against the real signatures of its parts before anything starts."""

from __future__ import annotations

from typing import Any

from lightning.pytorch import LightningDataModule, LightningModule, Trainer

from harmony_lit.errors import UserError, nearest
from harmony_lit.experiment.compose import NAMED_LISTS, Experiment
from harmony_lit.experiment.explain import load_class
from harmony_lit.experiment.merge import Tree
from harmony_lit.experiment.nodes import check, check_call
from harmony_lit.experiment.stage import CheckpointSettings, StartFrom, as_lists

SECTIONS = ("system", "sampling", "bench")


def validate(experiment: Experiment) -> None:
    """Checks every stage and every section that names a class.

    Raises:
        UserError: At the first mistake, with its YAML path and the nearest right name.
    """
    seed = experiment.config["seed"]
    if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
        raise UserError(f"seed: expected a whole number from 0 on, got {seed!r}")
    for section in SECTIONS:
        node = experiment.config.get(section)
        if isinstance(node, dict) and "class_path" in node:
            check(node, section)
    earlier: list[str] = []
    for name, stage in experiment.stages.items():
        _validate_stage(f"stages.{name}", stage, seed, earlier)
        earlier.append(name)


def _validate_stage(path: str, stage: Tree, seed: int, earlier: list[str]) -> None:
    for key, base in (("model", LightningModule), ("data", LightningDataModule)):
        if not isinstance(stage.get(key), dict):
            raise UserError(f"{path}.{key}: needs a class_path")
        found = load_class(f"{path}.{key}.class_path", stage[key].get("class_path"))
        if not (isinstance(found, type) and issubclass(found, base)):
            raise UserError(f"{path}.{key}.class_path: {stage[key]['class_path']} is not a {base.__name__}")
        check(stage[key], f"{path}.{key}")
    _check_trainer(f"{path}.trainer", stage.get("trainer") or {})
    _check_start(path, stage, earlier)
    if stage.get("checkpoint") is not None:
        check_call(CheckpointSettings, stage["checkpoint"], f"{path}.checkpoint")


def _check_trainer(path: str, trainer: Tree) -> None:
    for key in NAMED_LISTS:
        _check_named(f"{path}.{key}", trainer.get(key))
    steps = trainer.get("max_steps")
    if not isinstance(steps, int) or isinstance(steps, bool) or steps < 0:
        raise UserError(f"{path}.max_steps: a stage's length is given in optimiser steps; got {steps!r}")
    check_call(Trainer, as_lists(trainer), path)


def _check_named(path: str, named: Any) -> None:
    if isinstance(named, dict) and "class_path" not in named:
        for name, node in named.items():
            check(node, f"{path}.{name}")


def _check_start(path: str, stage: Tree, earlier: list[str]) -> None:
    start = stage.get("start_from")
    if start is None:
        if stage["trainer"]["max_steps"] == 0:
            raise UserError(f"{path}: a stage of 0 steps takes weights over, so it needs start_from")
        return
    check_call(StartFrom, start, f"{path}.start_from")
    given = [key for key in ("stage", "path") if start.get(key) is not None]
    if len(given) == 2 or not (given or start.get("pretrained")):
        raise UserError(f"{path}.start_from: give either an earlier stage or a path, or pretrained weights")
    stage_name = start.get("stage")
    if stage_name is not None and stage_name not in earlier:
        raise UserError(
            f"{path}.start_from.stage: '{stage_name}' is not a stage before this one.{nearest(stage_name, earlier)}"
        )
