"""What a stage of an experiment says beside Lightning's model, data and trainer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from harmony_lit.experiment.compose import NAMED_LISTS
from harmony_lit.experiment.merge import Tree


@dataclass(frozen=True)
class Pretrained:
    """Published weights.

    Attributes:
        path: A file, an index or a folder, as ``harmony weights inspect`` takes it.
        part: Take only what fills this part (``network.video``); by default all that the file has for the model.
    """

    path: str
    part: str | None = None


@dataclass(frozen=True)
class StartFrom:
    """Weights that a stage begins with: those of a stage or file, and over them published ones.

    Attributes:
        stage: An earlier stage of the same experiment.
        path: A weights file (``.safetensors``), a checkpoint, or the folder of a stage or run. Instead of ``stage``.
        pretrained: Published weights; where two have the same tensor, the later one counts.
        weights: The moving average (``ema``), or the weights that were trained (``raw``). A stage without the EMA
            callback has only one set, which both names mean.
        may_be_missing: Patterns (``video.*``) of the keys that the model may have and the weights may lack. What is
            missing is listed in the log; anything else that does not match is an error.
    """

    stage: str | None = None
    path: str | None = None
    pretrained: Sequence[Pretrained] = ()
    weights: Literal["ema", "raw"] = "ema"
    may_be_missing: Sequence[str] = ()

    @classmethod
    def of(cls, tree: Tree) -> StartFrom:
        """From what an experiment says."""
        given = [Pretrained(**entry) for entry in tree.get("pretrained") or ()]
        return cls(**{**tree, "pretrained": given})


@dataclass(frozen=True)
class CheckpointSettings:
    """When the state of a running stage is written.

    Attributes:
        every_n_steps: After so many optimiser steps.
        every_s: Or after so many seconds, whichever comes first; null for never.
    """

    every_n_steps: int = 1000
    every_s: float | None = 120.0


def as_lists(trainer: Tree) -> Tree:
    """A stage's trainer with its named callbacks and loggers as the lists that Lightning takes."""
    arguments: dict[str, Any] = dict(trainer)
    for key in NAMED_LISTS:
        if isinstance(arguments.get(key), dict) and "class_path" not in arguments[key]:
            arguments[key] = list(arguments[key].values())
    return arguments
