"""Strict loading: all names and shapes are checked before the first tensor is read, then one follows the other."""

from __future__ import annotations

import fnmatch
import functools
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from harmony_lit.errors import UserError
from harmony_lit.pretrained.layout import Layout
from harmony_lit.pretrained.layouts import detect
from harmony_lit.pretrained.source import WeightSource, some


@dataclass(frozen=True)
class Piece:
    """Weights, and where in a module they go.

    Attributes:
        source: The weights.
        layout: Their names.
        prefix: What stands before the layout's names in the module, such as ``network.video.``.
        only: Take only what then begins with this; the rest of the file is not wanted.
    """

    source: WeightSource
    layout: Layout
    prefix: str = ""
    only: str = ""

    def names(self) -> dict[str, list[str]]:
        """Names in the module, each with the published names of what makes it."""
        found: dict[str, list[str]] = {}
        for published in self.source.shapes:
            ours = self.layout.rename(published)
            if ours is not None and f"{self.prefix}{ours}".startswith(self.only):
                found.setdefault(f"{self.prefix}{ours}", []).append(published)
        return found

    def meta(self, name: str, published: Sequence[str]) -> Tensor:
        """The tensor ``name`` of the module without its values."""
        return self._made(name, {key: self.source.meta(key) for key in published})

    def read(self, name: str, published: Sequence[str]) -> Tensor:
        """The tensor ``name`` of the module."""
        return self._made(name, {key: self.source.read(key) for key in published})

    def _made(self, name: str, published: Mapping[str, Tensor]) -> Tensor:
        return self.layout.to_ours(name.removeprefix(self.prefix), published)


@dataclass(frozen=True)
class Comparison:
    """What loading pieces into a module would do.

    Attributes:
        placed: By name in the module, the piece and the published names that fill it.
        fresh: Names that are allowed to be missing and are.
        missing: Names that no piece has.
        unexpected: Published names that the module has no place for.
        misshapen: What has another shape or kind than the module's, one clause each.
    """

    placed: Mapping[str, tuple[Piece, list[str]]]
    fresh: list[str]
    missing: list[str]
    unexpected: list[str]
    misshapen: list[str]

    def problems(self) -> str:
        """The difference in one line; empty if the weights fit."""
        kinds = {"missing": self.missing, "unexpected": self.unexpected, "of another shape": self.misshapen}
        return "; ".join(f"{len(names)} {kind} ({some(names)})" for kind, names in kinds.items() if names)


def compare(
    module: nn.Module, pieces: Sequence[Piece], may_be_missing: Sequence[str] = (), within: str | tuple[str, ...] = ""
) -> Comparison:
    """Holds pieces against a module, which may be on the meta device; nothing is read.

    Args:
        module: What they would be loaded into.
        pieces: Weights; where two have the same tensor, the later one counts.
        may_be_missing: Patterns such as ``network.interaction.*`` of names that the pieces may lack.
        within: Only names of the module that begin with this, or one of these, are asked for.
    """
    own = tensors_of(module)
    placed: dict[str, tuple[Piece, list[str]]] = {}
    unexpected, misshapen = [], []
    for piece in pieces:
        for name, published in piece.names().items():
            if name not in own or (len(published) > 1 and piece.layout.combine is None):
                unexpected += published
                continue
            if problem := _unlike(name, piece.meta(name, published), own[name]):
                misshapen.append(problem)
            placed[name] = (piece, published)
    # Tied tensors have several names; one is enough.
    filled = {id(own[name]) for name in placed}
    absent = [name for name, value in own.items() if id(value) not in filled and name.startswith(within)]
    fresh = [name for name in absent if any(fnmatch.fnmatchcase(name, pattern) for pattern in may_be_missing)]
    return Comparison(placed, fresh, [name for name in absent if name not in set(fresh)], unexpected, misshapen)


def load_pretrained(
    module: nn.Module,
    source: WeightSource,
    layout: Layout | None = None,
    prefix: str = "",
    may_be_missing: Sequence[str] = (),
    device: torch.device | str = "cpu",
) -> list[str]:
    """Loads published weights; see ``load_pieces``. Without a layout, the file's own is found out."""
    return load_pieces(module, [Piece(source, layout or detect(source), prefix)], may_be_missing, device)


def load_pieces(
    module: nn.Module,
    pieces: Sequence[Piece],
    may_be_missing: Sequence[str] = (),
    device: torch.device | str = "cpu",
) -> list[str]:
    """Fills ``module``, one tensor after the other; nothing may differ but names that are allowed to be missing.

    Args:
        module: What is loaded into, in its own types. What it has on the meta device is made on ``device``.
        pieces: Weights; where two have the same tensor, the later one counts.
        may_be_missing: Patterns such as ``network.interaction.*`` of names that the pieces may lack.
        device: For what is on the meta device.

    Returns:
        The names that kept the module's own values.

    Raises:
        UserError: If anything is missing, unexpected or of another shape. The module is then as it was.
    """
    files = some(list(dict.fromkeys(str(piece.source.path) for piece in pieces)))
    comparison = compare(module, pieces, may_be_missing)
    if problems := comparison.problems():
        raise UserError(f"the weights of {files} do not fit the model: {problems}")
    if homeless := _without_values(module, comparison):
        raise UserError(
            f"the model is on the meta device, and {files} cannot fill all of it: {some(homeless)} would stay"
        )
    for piece in pieces:
        if piece.layout.licence is not None:
            _tell_licence(str(piece.source.path), piece.layout.publisher, piece.layout.licence)
    own = tensors_of(module)
    names_of: dict[int, list[str]] = {}
    for name, value in own.items():
        names_of.setdefault(id(value), []).append(name)
    for name, (piece, published) in comparison.placed.items():
        _fill(module, names_of[id(own[name])], own[name], piece.read(name, published), device)
    return comparison.fresh


def tensors_of(module: nn.Module) -> dict[str, Tensor]:
    """Parameters and kept buffers by name, the module's own objects; tied ones under each of their names."""
    return {name: value for name, value in module.state_dict(keep_vars=True).items() if isinstance(value, Tensor)}


def _unlike(name: str, given: Tensor, own: Tensor) -> str:
    if given.shape != own.shape:
        return f"{name} {tuple(given.shape)} instead of {tuple(own.shape)}"
    if given.is_floating_point() != own.is_floating_point():
        return f"{name} {given.dtype} instead of {own.dtype}".replace("torch.", "")
    return ""


def _without_values(module: nn.Module, comparison: Comparison) -> list[str]:
    """What would stay on the meta device."""
    own = tensors_of(module)
    filled = {id(own[name]) for name in comparison.placed}
    everything = [*own.items(), *module.named_buffers()]
    return list(dict.fromkeys(name for name, value in everything if value.is_meta and id(value) not in filled))


@torch.no_grad()
def _fill(module: nn.Module, names: Sequence[str], own: Tensor, value: Tensor, device: torch.device | str) -> None:
    if not own.is_meta:
        own.copy_(value)
        return
    made = torch.empty_like(own, device=device).copy_(value)
    if isinstance(own, nn.Parameter):
        made = nn.Parameter(made, requires_grad=own.requires_grad)
    for name in names:
        path, _, leaf = name.rpartition(".")
        setattr(module.get_submodule(path), leaf, made)


@functools.cache
def _tell_licence(path: str, publisher: str, licence: str) -> None:
    """Says whose weights are used and under what licence; once, and by the first rank only."""
    if os.environ.get("LOCAL_RANK", "0") == "0":
        print(f"{path}: weights by {publisher}, licence {licence}", file=sys.stderr, flush=True)
