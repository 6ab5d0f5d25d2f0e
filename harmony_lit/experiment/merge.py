"""Merging of raw configuration trees: plain dicts, lists and scalars, with interpolations still unresolved."""

from __future__ import annotations

import copy
from typing import Any

from harmony_lit.errors import UserError

Tree = dict[str, Any]


def merge(base: Any, over: Any, path: str = "") -> Any:
    """``over`` laid on ``base``; neither is changed.

    Mappings merge key by key and everything else replaces. A mapping whose ``class_path`` differs from the one below
    replaces the whole node, since the ``init_args`` of one class mean nothing to another; ``init_args`` whose class is
    yet to be named are kept.

    Raises:
        UserError: If part of a node is changed that is a reference to another, such as ``${network}``.
    """
    if isinstance(base, str) and base.startswith("${") and isinstance(over, dict) and "class_path" not in over:
        raise UserError(f"{path}: is taken from {base}, so change it there, or give a whole node with a class_path")
    if not (isinstance(base, dict) and isinstance(over, dict)):
        return copy.deepcopy(over)
    waiting = "init_args" in base and "class_path" not in base
    if "class_path" in over and over["class_path"] != base.get("class_path") and not waiting:
        return copy.deepcopy(over)
    merged = copy.deepcopy(base)
    for key, value in over.items():
        merged[key] = merge(base[key], value, f"{path}.{key}".lstrip(".")) if key in base else copy.deepcopy(value)
    return merged


def nest(path: list[str], value: Any) -> Any:
    """``{"a": {"b": value}}`` of ``["a", "b"]``."""
    for key in reversed(path):
        value = {key: value}
    return value


def differences(left: Any, right: Any, path: str = "") -> list[str]:
    """Where two trees differ, as ``path: left -> right``; an absent entry shows as ``(none)``."""
    if isinstance(left, dict) and isinstance(right, dict):
        found = []
        for key in [*left, *(k for k in right if k not in left)]:
            below = f"{path}.{key}" if path else str(key)
            found += differences(left.get(key, "(none)"), right.get(key, "(none)"), below)
        return found
    return [] if left == right else [f"{path}: {left} -> {right}"]
