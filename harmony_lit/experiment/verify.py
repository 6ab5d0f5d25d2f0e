"""Holds a weights file against the model that an experiment builds, without memory for either."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from harmony_lit.encoders.cached import CachedTextEncoder
from harmony_lit.errors import UserError, nearest
from harmony_lit.experiment.compose import Experiment
from harmony_lit.experiment.nodes import build
from harmony_lit.experiment.weights import published_piece
from harmony_lit.pretrained.load import Comparison, Piece, compare
from harmony_lit.pretrained.source import WeightSource


@dataclass(frozen=True)
class Fitting:
    """A file held against an experiment's model.

    Attributes:
        module: What the file would fill, or what holds it, on the meta device.
        piece: The file, and where in ``module`` it goes.
        comparison: What would be filled, and what does not fit.
    """

    module: nn.Module
    piece: Piece
    comparison: Comparison


def fit_to(experiment: Experiment, source: WeightSource, stage: str | None = None, part: str | None = None) -> Fitting:
    """Compares names and shapes of a file with those of an experiment's model.

    Args:
        experiment: Whose model.
        source: The file.
        stage: Which stage's model; by default the last.
        part: What the file shall fill (``network.video``), if not all that its layout is of.

    Raises:
        UserError: If the layout is not known, or the model has no such part.
    """
    module = build_on_meta(experiment, stage)
    piece = published_piece(source, part)
    within = piece.only
    if within.startswith("system."):
        module, piece = _inside_system(module, piece)
        within = ""
    elif within and not any(name.startswith(within) for name in module.state_dict()):
        raise UserError(f"the model of experiment '{experiment.name}' has no {within.rstrip('.')}")
    return Fitting(module, piece, compare(module, [piece], within=within))


def build_on_meta(experiment: Experiment, stage: str | None = None) -> nn.Module:
    """A stage's model, by default the last's, with all its tensors on the meta device.

    Raises:
        UserError: If there is no such stage.
    """
    name = stage or next(reversed(experiment.stages), "")
    if name not in experiment.stages:
        raise UserError(f"experiment '{experiment.name}' has no stage '{name}'.{nearest(name, experiment.stages)}")
    with torch.device("meta"):
        module: nn.Module = build(experiment.stages[name]["model"], f"stages.{name}.model")
    return module


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
