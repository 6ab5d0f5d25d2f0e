"""Holds a weights file against the model that an experiment builds, without memory for either."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from harmony_lit.encoders.cached import CachedTextEncoder
from harmony_lit.errors import UserError, nearest
from harmony_lit.experiment.compose import Experiment
from harmony_lit.experiment.nodes import build
from harmony_lit.experiment.stage import StartFrom
from harmony_lit.experiment.weights import published_piece
from harmony_lit.pretrained.load import Comparison, Piece, compare
from harmony_lit.pretrained.source import WeightSource, open_weights


@dataclass(frozen=True)
class Fitting:
    """A file held against an experiment's model.

    Attributes:
        module: What the file would fill, or what holds it, on the meta device.
        parts: Names of what it would fill.
        comparison: What would be filled, and what does not fit.
    """

    module: nn.Module
    parts: list[str]
    comparison: Comparison


def fit_to(experiment: Experiment, source: WeightSource, stage: str | None = None, part: str | None = None) -> Fitting:
    """Compares names and shapes of a file with those of an experiment's model.

    A stage that starts from the file decides which parts it takes; what it says ``may_be_missing`` may.

    Args:
        experiment: Whose model.
        source: The file.
        stage: Which stage's model; by default the last.
        part: What the file shall fill (``network.video``), if not what the stage or else the layout says.

    Raises:
        UserError: If the layout is not known, or the model has no such part.
    """
    stage = _stage(experiment, stage)
    start = StartFrom.of(experiment.stages[stage].get("start_from") or {})
    module = build_on_meta(experiment, stage)
    wanted = [part] if part else [given.part for given in start.pretrained if _is(source, given.path)] or [None]
    pieces = [published_piece(source, one) for one in wanted]
    parts = [piece.only.rstrip(".") for piece in pieces]
    if parts[0].startswith("system."):
        network, piece = _inside_system(module, pieces[0])
        return Fitting(network, parts, compare(network, [piece]))
    names = module.state_dict()
    for piece in pieces:
        if not any(name.startswith(piece.only) for name in names):
            raise UserError(f"the model of experiment '{experiment.name}' has no {piece.only.rstrip('.')}")
    within = tuple(piece.only for piece in pieces)
    return Fitting(module, parts, compare(module, pieces, start.may_be_missing, within))


def build_on_meta(experiment: Experiment, stage: str | None = None) -> nn.Module:
    """A stage's model, by default the last's, with all its tensors on the meta device.

    Raises:
        UserError: If there is no such stage.
    """
    name = _stage(experiment, stage)
    with torch.device("meta"):
        module: nn.Module = build(experiment.stages[name]["model"], f"stages.{name}.model")
    return module


def _stage(experiment: Experiment, name: str | None) -> str:
    name = name or next(reversed(experiment.stages), "")
    if name not in experiment.stages:
        raise UserError(f"experiment '{experiment.name}' has no stage '{name}'.{nearest(name, experiment.stages)}")
    return name


def _is(source: WeightSource, path: str) -> bool:
    """Whether ``path`` names what ``source`` was opened from."""
    return Path(path).exists() and open_weights(path).path.resolve() == source.path.resolve()


def _inside_system(module: nn.Module, piece: Piece) -> tuple[nn.Module, Piece]:
    """A network of a codec or encoder, which is no part of the model's own tree, and the piece with its names.

    ``system.audio_codec.vae`` is what ``audio_codec.new_vae()`` builds, ``system.video_codec`` what
    ``video_codec.new_network()`` does.
    """
    _, component, *inner = piece.layout.part.split(".")
    holder = getattr(getattr(module, "system", None), component, None)
    if isinstance(holder, CachedTextEncoder):
        holder = holder.encoder
    build_network = getattr(holder, f"new_{inner[0] if inner else 'network'}", None)
    if build_network is None:
        kind = "absent" if holder is None else f"{type(holder).__name__}, which takes no such weights"
        raise UserError(
            f"{piece.source.path} ({piece.layout.name}) is for system.{component}, which is {kind} in this experiment"
        )
    with torch.device("meta"):
        return build_network(), Piece(piece.source, piece.layout)
