"""A layout: how a publisher names the tensors of a part of our system, and how we do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Size, Tensor, nn

Shape = tuple[int | None, ...]
"""A shape in which None stands for any size."""


@dataclass(frozen=True)
class Layout:
    """Names, shapes and, where they differ, values of published weights.

    Attributes:
        name: What it is called, as in ``harmony weights convert --to``.
        publisher: Who publishes weights in it.
        licence: What these weights may be used for; None if that depends on what they were trained from.
        part: The part of the system that it fills: the path of a module of a stage's model (``network.video``), or of
            what a codec or encoder builds (``system.text_encoder``); empty for a whole model.
        telltale: A handful of tensors that together only this layout has.
        rename: Published name to ours, relative to the part; None for what is known and not needed. A name that the
            layout does not know comes back as it is, so that it is told as left over.
        restore: Our name to the published one.
        prefixes: What may stand before every published name.
        models: Published models in this layout, by shapes that tell them apart.
        combine: Our name and the published tensors that make it to its value; by default the one tensor as it is.
        split: Our name and its value to the published tensors; by default one, as it is.
        stem: Name of the files in this layout, without suffix.
        config: What the publisher's code wants to know of the part's module: the ``config.json`` beside the weights.
    """

    name: str
    publisher: str
    licence: str | None
    part: str
    telltale: Mapping[str, Shape]
    rename: Callable[[str], str | None]
    restore: Callable[[str], str]
    prefixes: tuple[str, ...] = ("",)
    models: Mapping[str, Mapping[str, Shape]] = field(default_factory=dict)
    combine: Callable[[str, Mapping[str, Tensor]], Tensor] | None = None
    split: Callable[[str, Tensor], Mapping[str, Tensor]] | None = None
    stem: str = "model"
    config: Callable[[nn.Module], dict[str, Any]] | None = None

    @property
    def place(self) -> str:
        """The part as what stands before our names in a stage's model."""
        return f"{self.part}." if self.part else ""

    def matches(self, shapes: Mapping[str, Size]) -> bool:
        """Whether tensors of these names and shapes are in this layout, whatever the prefix."""
        return self.found_in(shapes) is not None

    def found_in(self, shapes: Mapping[str, Size]) -> Layout | None:
        """This layout under the prefix that these tensors have, or None if they are in another."""
        return next((found for found in map(self._under, self.prefixes) if not found.differences(shapes)), None)

    def differences(self, shapes: Mapping[str, Size]) -> list[str]:
        """What of the telltale is absent or of another shape, one clause each."""
        told = []
        for name, shape in self.telltale.items():
            if name not in shapes:
                told.append(f"no {name}")
            elif not _fits(shapes[name], shape):
                told.append(f"{name} {tuple(shapes[name])} instead of {_written(shape)}")
        return told

    def model(self, shapes: Mapping[str, Size]) -> str | None:
        """Which published model has these shapes, or None."""
        for name, expected in self.models.items():
            if all(key in shapes and _fits(shapes[key], shape) for key, shape in expected.items()):
                return name
        return None

    def to_ours(self, name: str, published: Mapping[str, Tensor]) -> Tensor:
        """The value of our tensor ``name`` from the published ones that it is made of."""
        if self.combine is not None:
            return self.combine(name, published)
        (tensor,) = published.values()
        return tensor

    def to_published(self, name: str, tensor: Tensor) -> dict[str, Tensor]:
        """The published tensors that our tensor ``name`` makes."""
        return {self.restore(name): tensor} if self.split is None else dict(self.split(name, tensor))

    def _under(self, prefix: str) -> Layout:
        if not prefix:
            return self
        rename, restore, split = self.rename, self.restore, self.split
        combine = self.combine
        return replace(
            self,
            rename=lambda name: rename(name.removeprefix(prefix)),
            restore=lambda name: prefix + restore(name),
            combine=combine
            and (lambda name, given: combine(name, {key.removeprefix(prefix): t for key, t in given.items()})),
            split=split and (lambda name, tensor: {prefix + key: t for key, t in split(name, tensor).items()}),
            telltale={prefix + name: shape for name, shape in self.telltale.items()},
            models={m: {prefix + name: shape for name, shape in s.items()} for m, s in self.models.items()},
        )


def _fits(shape: Size, expected: Shape) -> bool:
    return len(shape) == len(expected) and all(e is None or e == s for s, e in zip(shape, expected, strict=True))


def _written(shape: Shape) -> str:
    return f"({', '.join('any' if size is None else str(size) for size in shape)})"
