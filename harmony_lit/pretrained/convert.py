"""From one layout to another, one tensor at a time."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from harmony_lit.errors import UserError
from harmony_lit.pretrained.layout import Layout
from harmony_lit.pretrained.load import Piece
from harmony_lit.pretrained.save import refuse_existing, save_file, save_folder
from harmony_lit.pretrained.source import WeightSource, some


@dataclass(frozen=True)
class Conversion:
    """What a conversion writes.

    Attributes:
        like: Shape and type of each tensor by its new name, without values.
        piece: Where they come from.
        origin: By new name, the name of the part's tensor and the published names that make it.
        left_out: Published names that the new layout has no place for.
    """

    like: dict[str, Tensor]
    piece: Piece
    origin: dict[str, tuple[str, list[str]]]
    left_out: list[str]
    layout: Layout

    def read(self, name: str) -> Tensor:
        """The tensor under its new name."""
        ours, published = self.origin[name]
        value = self.piece.read(ours, published)
        return self.layout.to_published(ours.removeprefix(self.layout.place), value)[name]


def plan(source: WeightSource, layout: Layout, target: Layout) -> Conversion:
    """What ``source`` would be in the layout ``target``; nothing is read.

    Args:
        source: The weights.
        layout: The layout that they are in.
        target: The layout wanted, of the same part of the system or of a part of it.

    Raises:
        UserError: If the weights are not of that part, or not all of it.
    """
    piece = Piece(source, layout, prefix=layout.place, only=target.place)
    like: dict[str, Tensor] = {}
    origin: dict[str, tuple[str, list[str]]] = {}
    for name, published in piece.names().items():
        for key, value in target.to_published(name.removeprefix(target.place), piece.meta(name, published)).items():
            if key in like:
                raise UserError(f"{source.path} has two tensors that {target.name} calls {key}: {some(published)}")
            like[key], origin[key] = value, (name, published)
    if differences := target.differences({name: tensor.shape for name, tensor in like.items()}):
        raise UserError(
            f"{source.path} ({layout.name}, which fills {layout.part or 'a whole model'}) does not make {target.name} "
            f"({target.part or 'a whole model'}): there would be {some(differences)}"
        )
    used = {published for _, names in origin.values() for published in names}
    return Conversion(like, piece, origin, [name for name in source.shapes if name not in used], target)


def write(conversion: Conversion, out: Path, max_shard_bytes: int) -> None:
    """Writes a conversion as the file ``out`` if that ends in ``.safetensors``, else as a new folder.

    Raises:
        UserError: If ``out`` is there already, or a single file would be larger than ``max_shard_bytes``.
    """
    refuse_existing(out)
    target = conversion.layout
    metadata = {"layout": target.name, "licence": conversion.piece.layout.licence or "of what it was trained from"}
    if out.suffix != ".safetensors":
        save_folder(out, conversion.like, conversion.read, max_shard_bytes, target.stem, metadata)
        return
    total = sum(tensor.nbytes for tensor in conversion.like.values())
    if total > max_shard_bytes:
        raise UserError(
            f"{out} would have {total / 1e9:.1f} GB, more than --max-shard-size: name a folder for several files"
        )
    save_file(out, conversion.like, conversion.read, metadata)
