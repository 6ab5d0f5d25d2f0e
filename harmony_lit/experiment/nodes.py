"""``class_path`` nodes: checked against the signatures of their classes, and built."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

from jsonargparse import ArgumentError, ArgumentParser, Namespace

from harmony_lit.errors import UserError
from harmony_lit.experiment.explain import check_arguments, check_keys, load_class, type_problem
from harmony_lit.experiment.merge import Tree

# Calls found sound, as text, with what jsonargparse made of them: it takes its time, and what is checked is built too.
_sound: dict[str, tuple[ArgumentParser, Namespace]] = {}


def check(node: Any, path: str) -> None:
    """Checks a node and all inside it without building anything.

    Args:
        node: The node.
        path: Where it stands in the experiment, for messages.

    Raises:
        UserError: If a class, an argument or a type is wrong, with its path and the nearest right name.
    """
    check_call(*_split(node, path), f"{path}.init_args")


def check_call(target: Callable[..., Any], arguments: Tree, path: str) -> None:
    """As ``check``, for the arguments at ``path`` of a class that YAML does not name."""
    _parsed(target, arguments, path)


def build(node: Any, path: str) -> Any:
    """Builds a node and all inside it, after checking.

    Args:
        node: The node.
        path: Where it stands in the experiment, for messages.

    Raises:
        UserError: As ``check``.
    """
    parser, config = _parsed(*_split(node, path), f"{path}.init_args")
    # `instantiate_classes` until jsonargparse 4.48, `instantiate` from 4.49 on.
    instantiate = getattr(parser, "instantiate", None) or parser.instantiate_classes
    return instantiate(config.clone())["node"]


def _split(node: Any, path: str) -> tuple[Callable[..., Any], Tree]:
    if not isinstance(node, dict) or "class_path" not in node:
        raise UserError(f"{path}: needs a class_path")
    check_keys(path, node)
    return load_class(f"{path}.class_path", node["class_path"]), node.get("init_args") or {}


def _parsed(target: Callable[..., Any], arguments: Tree, path: str) -> tuple[ArgumentParser, Namespace]:
    text = f"{target} {json.dumps(arguments, sort_keys=True, default=str)}"
    if text not in _sound:
        _sound[text] = _parse(target, arguments, path)
    return _sound[text]


def _parse(target: Callable[..., Any], arguments: Tree, path: str) -> tuple[ArgumentParser, Namespace]:
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(target, "node", fail_untyped=False)
    try:
        # A copy: jsonargparse turns the nodes of what it is given into its own Namespaces.
        return parser, parser.parse_object({"node": copy.deepcopy(arguments)})
    except ArgumentError as error:
        check_arguments(path, target, arguments)
        raise UserError(f"{path}: {type_problem(str(error))}") from error
