"""Finding experiment files and reading them with everything they extend."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from harmony_lit.errors import UserError, nearest
from harmony_lit.experiment.merge import Tree, merge

SHIPPED = Path(__file__).resolve().parents[2] / "experiments"


def find_experiment(source: str | Path) -> Path:
    """The file that ``source`` names: a path, or a name under ``experiments/`` with or without ``.yaml``.

    Raises:
        UserError: If there is no such file.
    """
    roots = [Path(), Path("experiments"), SHIPPED]
    for root in roots:
        for candidate in (root / source, root / f"{source}.yaml"):
            if candidate.is_file():
                return candidate
    known = [str(p.relative_to(SHIPPED).with_suffix("")) for p in SHIPPED.rglob("*.yaml") if p.parent.name != "base"]
    wanted = str(source).removeprefix("experiments/").removesuffix(".yaml")
    raise UserError(f"there is no experiment '{source}'.{nearest(wanted, known)}")


def read_tree(path: Path, _above: tuple[Path, ...] = ()) -> Tree:
    """The raw tree of an experiment file over those that it ``extends``, interpolations unresolved.

    ``extends`` is a path or a list of them, relative to the file or to the experiments folder that holds it. Later
    entries lie over earlier ones, and the file itself over all.

    Raises:
        UserError: If a file is missing, is not a mapping, extends itself, or is not YAML.
    """
    path = path.resolve()
    if path in _above:
        raise UserError(f"{path}: extends itself through {' -> '.join(p.name for p in (*_above, path))}")
    own = _read_yaml(path)
    extends = own.pop("extends", None) or []
    tree: Tree = {}
    for name in [extends] if isinstance(extends, str) else extends:
        tree = merge(tree, read_tree(_extended(path, name), (*_above, path)))
    return merge(tree, own)


def parse_value(text: str) -> Any:
    """A value as OmegaConf reads it in YAML: ``1e-4`` is a float, ``null`` is None, ``[1, 2]`` a list."""
    return OmegaConf.to_container(OmegaConf.create(f"value: {text}"), resolve=False)["value"]  # type: ignore[index,call-overload]


def _read_yaml(path: Path) -> Tree:
    try:
        tree = OmegaConf.to_container(OmegaConf.load(path), resolve=False)
    except (yaml.YAMLError, OmegaConfBaseException) as error:
        raise UserError(f"{path}: not readable as YAML: {' '.join(str(error).split())}") from error
    if not isinstance(tree, dict):
        raise UserError(f"{path}: an experiment file is a mapping of names to settings")
    return {str(key): value for key, value in tree.items()}


def _extended(path: Path, name: str) -> Path:
    roots = [*_experiment_roots(path), SHIPPED]
    places = [path.parent, *roots]
    for place in places:
        if (place / name).is_file():
            return place / name
    known = [p.name for p in path.parent.glob("*.yaml")] + [
        str(p.relative_to(r)) for r in roots for p in r.rglob("*.yaml")
    ]
    raise UserError(f"{path}: extends: there is no file '{name}'.{nearest(name, known)}")


def _experiment_roots(path: Path) -> Iterator[Path]:
    """The folders above ``path`` that are called ``experiments``."""
    return (parent for parent in path.parents if parent.name == "experiments")
