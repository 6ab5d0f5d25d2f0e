"""What a weights file is and where it goes, in lines for people."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from torch import nn

from harmony_lit.pretrained.layout import Layout
from harmony_lit.pretrained.load import Comparison, Piece, tensors_of
from harmony_lit.pretrained.source import WeightSource, some


@dataclass
class Count:
    """Tensors and the values in them."""

    tensors: int = 0
    values: int = 0

    def add(self, values: int) -> None:
        """Counts one more tensor."""
        self.tensors, self.values = self.tensors + 1, self.values + values

    def __str__(self) -> str:
        return f"{self.tensors:6,} tensors  {number(self.values):>9} parameters"


def facts(source: WeightSource, layout: Layout) -> list[str]:
    """Layout, publisher, licence, part, tensors, parameters, types and size."""
    types = Counter(str(dtype).removeprefix("torch.") for dtype in source.dtypes.values())
    size = sum(source.bytes_of(name) for name in source.shapes)
    published = layout.model(source.shapes)
    files = f"{len(source.files)} file{'s' if len(source.files) > 1 else ''}"
    rows = {
        "layout": layout.name + (f", the shapes of {published}" if published else ""),
        "publisher": layout.publisher,
        "licence": layout.licence or "that of the weights and data that it was trained from",
        "fills": layout.part or "a whole model",
        "tensors": f"{len(source.shapes):,}",
        "parameters": number(sum(shape.numel() for shape in source.shapes.values())),
        "types": ", ".join(f"{name} ({count:,})" for name, count in types.most_common()),
        "size": f"{number(size, ('GB', 'MB', 'bytes'))} in {files}",
    }
    return [f"  {name:<11} {value}" for name, value in rows.items()]


def places(piece: Piece) -> list[str]:
    """What of the file goes where: stems of names, those of all blocks as one."""
    counts: dict[tuple[str, str], Count] = {}
    for ours, published in piece.names().items():
        for name in published:
            counts.setdefault((_stem(name), _stem(ours)), Count()).add(piece.source.shapes[name].numel())
    width = max((len(theirs) for theirs, _ in counts), default=0)
    lines = [f"  {count}  {theirs:<{width}} -> {ours}" for (theirs, ours), count in counts.items()]
    unneeded = [name for name in piece.source.shapes if piece.layout.rename(name) is None]
    return lines + ([f"  {len(unneeded)} are not needed: {some(unneeded)}"] if unneeded else [])


def parts(piece: Piece) -> list[str]:
    """Tensors and parameters by what they fill, coarsely: two names deep below the model, one below a codec."""
    return [f"  {count}  {name}" for name, count in _grouped(_sizes(piece), _coarse).items()]


def coverage(module: nn.Module, comparison: Comparison) -> list[str]:
    """For each part of a model, its parameters and how many of its tensors the weights fill."""
    own = tensors_of(module)
    filled = {id(own[name]) for name in comparison.placed}
    have = _grouped(((name, value.numel()) for name, value in own.items() if id(value) in filled), _coarse)
    lines = [
        f"  {count}  {name:<24} {have[name].tensors if name in have else 0:6,} of them filled"
        for name, count in _grouped(((name, value.numel()) for name, value in own.items()), _coarse).items()
    ]
    for told, names in (
        ("begin afresh", comparison.fresh),
        ("missing", comparison.missing),
        ("left over", comparison.unexpected),
        ("of another shape", comparison.misshapen),
    ):
        lines.append(f"  {len(names):6,} {told}{f': {some(names)}' if names else ''}")
    return lines


def number(value: int, units: tuple[str, str, str] = ("B", "M", "")) -> str:
    """``5.00 B``, ``12.30 M``, ``4,096``: parameters as people say them; or bytes in the ``units`` given."""
    for size, unit in zip((10**9, 10**6), units, strict=False):
        if value >= size:
            return f"{value / size:.2f} {unit}"
    return f"{value:,} {units[2]}".rstrip()


def _sizes(piece: Piece) -> Iterable[tuple[str, int]]:
    for ours, published in piece.names().items():
        yield ours, sum(piece.source.shapes[name].numel() for name in published)


def _grouped(sizes: Iterable[tuple[str, int]], key: Callable[[str], str]) -> dict[str, Count]:
    counts: dict[str, Count] = {}
    for name, values in sizes:
        counts.setdefault(key(name), Count()).add(values)
    return counts


def _coarse(name: str) -> str:
    return ".".join(name.split(".")[:2])


def _stem(name: str) -> str:
    """``blocks.*.ffn.0`` of ``blocks.12.ffn.0.weight``: blocks are counted, layers inside them told apart."""
    return re.sub(r"\b(blocks?|layers)\.\d+\.", r"\1.*.", re.sub(r"\.(weight|bias)$", "", name))
