"""Finds, in a configuration that jsonargparse refused, the one place that is wrong and the nearest right name.

jsonargparse decides what is valid; this walk only turns its refusal into a sentence. It goes to the innermost
``class_path`` node first, because an error there shows up again as a type error of every node around it.
"""

from __future__ import annotations

import copy
import importlib
import inspect
import pkgutil
import re
from collections.abc import Callable, Iterator
from typing import Any

from jsonargparse import ArgumentError, ArgumentParser

from harmony_lit.errors import UserError, nearest


def check_node(path: str, node: dict[str, Any]) -> None:
    """Checks a ``class_path``/``init_args`` node and all nodes inside it.

    Raises:
        UserError: At the first mistake: an unknown class, an unknown argument, or a value of the wrong type.
    """
    check_keys(path, node)
    arguments = node.get("init_args") or {}
    check_arguments(f"{path}.init_args", load_class(f"{path}.class_path", node["class_path"]), arguments)


def check_keys(path: str, node: dict[str, Any]) -> None:
    """Checks that a node has nothing beside its class and the arguments.

    Raises:
        UserError: If it has.
    """
    for key in node:
        if key not in ("class_path", "init_args", "dict_kwargs"):
            raise UserError(f"{path}.{key}: beside class_path there is only init_args.{_misplaced(node, key)}")
    arguments = node.get("init_args") or {}
    if not isinstance(arguments, dict):
        raise UserError(f"{path}.init_args: expected a mapping of arguments, got {arguments!r}")


def check_arguments(path: str, target: Callable[..., Any], arguments: dict[str, Any]) -> None:
    """Checks the arguments of one class or function, the nodes inside them first.

    Raises:
        UserError: At the first mistake.
    """
    accepted = _parser(target)[1]
    for name, value in arguments.items():
        if name not in accepted:
            raise UserError(f"{path}.{name}: {target.__name__} has no such argument.{nearest(name, accepted)}")
        for below, inner in _nodes(f"{path}.{name}", value):
            check_node(below, inner)
    for name, value in arguments.items():
        parser, _ = _parser(target, skip={other for other in accepted if other != name})
        try:
            parser.parse_object({name: copy.deepcopy(value)})
        except ArgumentError as error:
            raise UserError(_sentence(path, name, value, str(error), target)) from error


def load_class(path: str, class_path: Any) -> Callable[..., Any]:
    """Imports what a ``class_path`` names.

    Raises:
        UserError: If there is no such class, with the nearest public name.
    """
    if not isinstance(class_path, str):
        raise UserError(f"{path}: expected the dotted name of a class, got {class_path!r}")
    module_name, _, name = class_path.rpartition(".")
    module = _import(path, module_name or class_path, class_path)
    found = getattr(module, name, None)
    if not callable(found):
        known = [n for n, value in vars(module).items() if inspect.isclass(value) and not n.startswith("_")]
        raise UserError(f"{path}: {module_name} has no class '{name}'.{nearest(name, known)}")
    return found


def _import(path: str, module_name: str, class_path: str) -> Any:
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        missing = error.name or module_name
        if not (module_name == missing or module_name.startswith(f"{missing}.")):
            raise  # the module exists, but something that it imports does not
        above, _, last = missing.rpartition(".")
        siblings: list[str] = []
        if above:
            locations = getattr(importlib.import_module(above), "__path__", [])
            siblings = [info.name for info in pkgutil.iter_modules(locations)]
        raise UserError(f"{path}: '{class_path}': there is no module '{missing}'.{nearest(last, siblings)}") from error


def _parser(target: Callable[..., Any], skip: set[str | int] | None = None) -> tuple[ArgumentParser, list[str]]:
    parser = ArgumentParser(exit_on_error=False)
    add = parser.add_class_arguments if inspect.isclass(target) else parser.add_function_arguments
    return parser, add(target, skip=skip or set(), fail_untyped=False)


def _nodes(path: str, value: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """The outermost ``class_path`` nodes inside ``value``, with their paths."""
    if isinstance(value, dict):
        if "class_path" in value:
            yield path, value
        else:
            for key, inner in value.items():
                yield from _nodes(f"{path}.{key}", inner)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _nodes(f"{path}[{index}]", inner)


def _misplaced(node: dict[str, Any], key: str) -> str:
    return f" Write init_args.{key}." if "init_args" not in node else nearest(key, ["class_path", "init_args"])


def _sentence(path: str, name: str, value: Any, message: str, target: Callable[..., Any]) -> str:
    """Jsonargparse's message on one argument as one sentence."""
    if unknown := re.search(r"does not accept option '([\w.]+)'", message):
        *parents, last = unknown[1].split(".")
        known = [k.rpartition(".")[2] for k in vars(_parser(target)[0].get_defaults().as_flat())]
        return f"{path}.{'.'.join([*parents, last])}: there is no such setting.{nearest(last, known)}"
    if inner := re.search(r'Parser key "([\w.]+)"', message):
        path = f"{path}.{inner[1]}"
    return f"{path}: {type_problem(message)}"


def type_problem(message: str) -> str:
    """What jsonargparse expected and got, without its layout."""
    text = " ".join(message.split())
    if base := re.search(r"Expected '([\w.]+)' to be a subclass of <class '([\w.]+)'>", text):
        return f"{base[1]} is not a {base[2]}"
    if required := re.search(r"the following arguments are required: ([\w., ]+)", text):
        return f"needs {required[1].replace('node.', '').strip()}"
    if union := re.search(r"Subtypes: \[(.*?)\] Errors:.*Given value: (.*)$", text):
        return f"expected {_types(union[1].split(', '))}, got {union[2]!r}"
    if single := re.search(r"Expected an? (.*?)\. Got value: (.*)$", text):
        return f"expected {_types([single[1]])}, got {single[2]!r}"
    return re.sub(r'^Parser key "[\w.]+": ', "", text)[:400]


def _types(names: list[str]) -> str:
    plain = [re.sub(r"<class '(?:\w+\.)*(\w+)'>", r"\1", n).replace("typing.", "") for n in names]
    plain = ["null" if n == "NoneType" else n for n in plain]
    return " or ".join(plain)
