"""Checks a whole experiment against the real signatures of its parts before anything starts."""

from __future__ import annotations

from typing import Any

from jsonargparse import ArgumentError, ArgumentParser
from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from lightning.pytorch.cli import LightningArgumentParser

from harmony_lit.errors import UserError, nearest
from harmony_lit.experiment.compose import NAMED_LISTS, Experiment
from harmony_lit.experiment.explain import check_arguments, check_node, load_class, type_problem
from harmony_lit.experiment.merge import Tree
from harmony_lit.experiment.stage import CheckpointSettings, StartFrom, lightning_config

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
            _validate_node(section, node)
    if not experiment.stages:
        raise UserError("stages: an experiment has at least one stage")
    earlier: list[str] = []
    for name, stage in experiment.stages.items():
        _validate_stage(f"stages.{name}", stage, seed, earlier)
        earlier.append(name)


def stage_parser() -> LightningArgumentParser:
    """The parser of a stage as ``LightningCLI`` builds it."""
    parser = LightningArgumentParser(exit_on_error=False)
    parser.add_argument("--seed_everything", type=int)
    parser.add_lightning_class_args(Trainer, "trainer")
    parser.add_lightning_class_args(LightningModule, "model", subclass_mode=True, required=True)
    parser.add_lightning_class_args(LightningDataModule, "data", subclass_mode=True, required=True)
    return parser


def _validate_stage(path: str, stage: Tree, seed: int, earlier: list[str]) -> None:
    for key in ("model", "data"):
        node = stage.get(key)
        if not isinstance(node, dict) or "class_path" not in node:
            raise UserError(f"{path}.{key}: needs a class_path")
    for key in NAMED_LISTS:
        _check_named(f"{path}.trainer.{key}", (stage.get("trainer") or {}).get(key))
    _check_steps(path, stage)
    _check_start(path, stage, earlier)
    if stage.get("checkpoint") is not None:
        check_arguments(f"{path}.checkpoint", CheckpointSettings, stage["checkpoint"])
    try:
        stage_parser().parse_object(lightning_config(stage, seed))
    except ArgumentError as error:
        _explain_stage(path, stage)
        raise UserError(f"{path}: {type_problem(str(error))}") from error


def _explain_stage(path: str, stage: Tree) -> None:
    for key, base in (("model", LightningModule), ("data", LightningDataModule)):
        check_node(f"{path}.{key}", stage[key])
        found = load_class(f"{path}.{key}.class_path", stage[key]["class_path"])
        if not (isinstance(found, type) and issubclass(found, base)):
            raise UserError(f"{path}.{key}.class_path: {stage[key]['class_path']} is not a {base.__name__}")
    trainer: dict[str, Any] = dict(stage.get("trainer") or {})
    for key in NAMED_LISTS:
        named = trainer.get(key)
        if isinstance(named, dict) and "class_path" not in named:
            for name, node in named.items():
                check_node(f"{path}.trainer.{key}.{name}", node)
            trainer[key] = list(named.values())
    check_arguments(f"{path}.trainer", Trainer, trainer)


def _check_named(path: str, named: Any) -> None:
    if isinstance(named, dict) and "class_path" not in named:
        for name, node in named.items():
            if not isinstance(node, dict) or "class_path" not in node:
                raise UserError(f"{path}.{name}: needs a class_path")


def _check_steps(path: str, stage: Tree) -> None:
    steps = (stage.get("trainer") or {}).get("max_steps")
    if not isinstance(steps, int) or steps < 1:
        raise UserError(f"{path}.trainer.max_steps: a stage's length is given in optimiser steps; got {steps!r}")


def _check_start(path: str, stage: Tree, earlier: list[str]) -> None:
    start = stage.get("start_from")
    if start is None:
        return
    check_arguments(f"{path}.start_from", StartFrom, start)
    if (start.get("stage") is None) == (start.get("path") is None):
        raise UserError(f"{path}.start_from: give either an earlier stage or a path")
    stage_name = start.get("stage")
    if stage_name is not None and stage_name not in earlier:
        raise UserError(
            f"{path}.start_from.stage: '{stage_name}' is not a stage before this one.{nearest(stage_name, earlier)}"
        )


def _validate_node(path: str, node: Tree) -> None:
    target = load_class(f"{path}.class_path", node["class_path"])
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(target, "node", fail_untyped=False)
    try:
        parser.parse_object({"node": node.get("init_args") or {}})
    except ArgumentError as error:
        check_node(path, node)
        raise UserError(f"{path}: {type_problem(str(error))}") from error
    if extra := set(node) - {"class_path", "init_args"}:
        raise UserError(f"{path}.{sorted(extra)[0]}: beside class_path there is only init_args")
