"""Weights with low-rank adapters read as plain ones: a layout laid over another, and the adapters by themselves.

Names are peft's: ``X.base_layer.weight``, ``X.lora_A.default.weight`` (rank, in), ``X.lora_B.default.weight``
(out, rank); the plain weight is base + scale B A.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from torch import Tensor

from harmony_lit.pretrained.layout import Layout

_PART = re.compile(r"(?P<layer>.+)\.(?P<part>base_layer|lora_[AB]\.[^.]+)\.(?P<leaf>weight|bias)")


def plain(name: str) -> str:
    """The name without adapters of the tensor that ``name`` is, or is a part of."""
    found = _PART.fullmatch(name)
    return name if found is None else f"{found['layer']}.{found['leaf']}"


def merging(layout: Layout, scale: Mapping[str, float]) -> Layout:
    """``layout`` over tensors that have adapters; what is read from it is merged, one tensor at a time.

    Args:
        layout: A layout that keeps values as they are.
        scale: alpha / rank of each adapted layer, by its name in the layout.
    """
    rename = layout.rename

    def combine(name: str, published: Mapping[str, Tensor]) -> Tensor:
        if len(published) == 1:
            (alone,) = published.values()
            return alone
        parts = {_part(key): tensor for key, tensor in published.items()}
        base, update = parts["base_layer"], parts["lora_B"].float() @ parts["lora_A"].float()
        return (base.float() + scale[name.rpartition(".")[0]] * update).to(base.dtype)

    return replace(layout, rename=lambda name: rename(plain(name)), combine=combine)


def adapter_tensors(state: Mapping[str, Tensor], inside: str) -> dict[str, Tensor]:
    """The adapters in ``state`` by the names that peft's files have.

    Args:
        state: A module's tensors.
        inside: The part of the module that peft loads the file into.
    """
    found = {}
    for name, tensor in state.items():
        if name.startswith(f"{inside}.") and ".lora_" in name:
            layer, kind, _, leaf = name.removeprefix(f"{inside}.").rsplit(".", 3)
            found[f"base_model.model.{layer}.{kind}.{leaf}"] = tensor
    return found


def _part(name: str) -> str:
    found = _PART.fullmatch(name)
    assert found is not None
    return found["part"].split(".")[0]
