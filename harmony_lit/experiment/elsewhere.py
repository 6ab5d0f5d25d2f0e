"""Frozen weights that a checkpoint need not hold, since ``start_from`` has them.

A stage that trains adapters, or one tower of two, would write gigabytes at every save that never change. What is frozen
and was read from files is left out of ``last.ckpt``; its names are written down under ``elsewhere``, and whoever reads
the checkpoint takes them from where the stage began.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from harmony_lit.errors import UserError
from harmony_lit.pretrained.adapters import plain
from harmony_lit.pretrained.load import Piece
from harmony_lit.pretrained.source import WeightSource, some

KEY = "elsewhere"
STATES = ("state_dict", "current_model_state")


class Elsewhere:
    """Takes what is frozen and was read out of checkpoints, and puts it back when they are loaded.

    Args:
        module: The stage's module. The tensors are remembered, not their names, which adapters change.
        read: Names of what was read from files.
    """

    def __init__(self, module: nn.Module, read: Iterable[str]) -> None:
        own = dict(module.named_parameters())
        self._module, self._read = module, {id(own[name]): own[name] for name in read if name in own}

    def tensors(self) -> dict[str, Tensor]:
        """What is left out, by its present names."""
        named = self._module.named_parameters(remove_duplicate=False)
        return {name: p.data for name, p in named if id(p) in self._read and not p.requires_grad}

    def take_out(self, checkpoint: dict[str, Any]) -> None:
        """Leaves the tensors out of the states of ``checkpoint`` and their names in it."""
        out = self.tensors()
        if not out:
            return
        for key in STATES:
            if key in checkpoint:
                checkpoint[key] = {name: value for name, value in checkpoint[key].items() if name not in out}
        checkpoint[KEY] = list(out)

    def put_back(self, checkpoint: dict[str, Any]) -> None:
        """Completes the states of ``checkpoint`` with the module's own tensors."""
        names = checkpoint.get(KEY, [])
        own = self._module.state_dict() if names else {}
        for key in STATES:
            if names and key in checkpoint:
                checkpoint[key] = {**{name: own[name] for name in names if name in own}, **checkpoint[key]}


class Completed(WeightSource):
    """The tensors of a checkpoint, and those that it leaves out from where its stage began.

    Args:
        path: The checkpoint.
        tensors: What it holds.
        names: What it leaves out.
        start: Where the stage began; the later of two pieces counts.

    Raises:
        UserError: If the stage began without one of them.
    """

    def __init__(self, path: Path, tensors: Mapping[str, Tensor], names: Iterable[str], start: Iterable[Piece]) -> None:
        places: dict[str, tuple[Piece, list[str]]] = {}
        for piece in start:
            places.update({name: (piece, published) for name, published in piece.names().items()})
        if absent := [name for name in names if plain(name) not in places]:
            raise UserError(f"{path} leaves out {some(absent)}, which is not in what its stage started from")
        self._tensors = tensors
        self._start = {name: (plain(name), *places[plain(name)]) for name in names}
        metas = {name: piece.meta(ours, published) for name, (ours, piece, published) in self._start.items()}
        everything = {**metas, **tensors}
        shapes = {name: tensor.shape for name, tensor in everything.items()}
        super().__init__(path, shapes, {name: tensor.dtype for name, tensor in everything.items()}, {})

    def read(self, name: str) -> Tensor:
        """See the base."""
        if name in self._tensors:
            return self._tensors[name]
        ours, piece, published = self._start[name]
        return piece.read(ours, published)
