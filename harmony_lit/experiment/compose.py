"""From an experiment file and overrides to one plain, resolved configuration with every stage written out.

The order matters: files are merged raw, overrides are laid on, ``fit`` is merged into each stage, and only then are
interpolations resolved, once, so that an override of what others refer to reaches all of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from harmony_lit.errors import UserError, nearest
from harmony_lit.experiment.files import find_experiment, parse_value, read_tree
from harmony_lit.experiment.merge import Tree, merge, nest

TOP_LEVEL = {
    "name": "what the run is called",
    "description": "one sentence for people",
    "seed": "seed of everything random",
    "run_dir": "folder of the run; runs/NAME if not given",
    "paths": "where clips and latents lie",
    "clip": "frames, height and width of the clips that are sampled",
    "system": "geometry, codecs and text encoder",
    "network": "the model, shared by all stages",
    "fit": "what every stage has in common",
    "stages": "mapping of stage names to what each changes, in the order they run",
    "sampling": "how clips are sampled",
    "bench": "what `harmony bench` measures",
}
STAGE_KEYS = ("model", "data", "trainer", "start_from", "checkpoint", "description")
# Mappings of names to nodes in YAML, so that one can be changed or taken out with null; lists to Lightning.
NAMED_LISTS = ("callbacks", "logger", "plugins")
# Below these keys, what may be written is known by the signatures of classes only (see validate.py).
_OPEN = ("init_args", "dict_kwargs", "trainer", "start_from", "checkpoint")


@dataclass(frozen=True)
class Experiment:
    """A composed experiment.

    Attributes:
        config: Plain, resolved values; ``fit`` and ``extends`` have been worked into ``stages``.
    """

    config: Tree

    @property
    def name(self) -> str:
        """What the run is called."""
        return str(self.config["name"])

    @property
    def run_dir(self) -> Path:
        """Folder of the run."""
        return Path(self.config["run_dir"])

    @property
    def stages(self) -> dict[str, Tree]:
        """The stages by name, in the order they run."""
        return self.config["stages"]

    def to_yaml(self) -> str:
        """The configuration as it is written into the run folder."""
        return yaml.safe_dump(self.config, sort_keys=False, width=120, allow_unicode=True)

    @classmethod
    def load(cls, path: Path) -> Experiment:
        """Reads what ``to_yaml`` wrote."""
        return cls(OmegaConf.to_container(OmegaConf.load(path), resolve=False))  # type: ignore[arg-type]


def compose(source: str | Path, overrides: Sequence[str] = ()) -> Experiment:
    """Composes the experiment that ``source`` names, with overrides such as ``seed=1`` or ``a.b.c=1e-4``.

    Raises:
        UserError: If a file is missing or malformed, an override names nothing, or an interpolation does not resolve.
    """
    path = find_experiment(source)
    tree = read_tree(path)
    for override in overrides:
        tree = _override(tree, override)
    _known(tree, TOP_LEVEL, "")
    tree.setdefault("name", path.stem)
    tree.setdefault("seed", 0)
    tree.setdefault("run_dir", "runs/${name}")
    resolved = _resolve(dict(sorted(_expand(tree).items(), key=_place)), path)
    return Experiment(resolved)


def _place(item: tuple[str, Any]) -> int:
    """The order in which people read an experiment."""
    return list(TOP_LEVEL).index(item[0])


def _override(tree: Tree, override: str) -> Tree:
    key, separator, text = override.partition("=")
    keys = key.split(".")
    if not separator or not all(keys):
        raise UserError(f"'{override}' is not an override: write it as a.b.c=value")
    _check_path(tree, keys)
    try:
        return merge(tree, nest(keys, parse_value(text)))
    except (yaml.YAMLError, OmegaConfBaseException) as error:
        raise UserError(f"override {key}: '{text}' is not a YAML value") from error


def _check_path(tree: Tree, keys: list[str]) -> None:
    """Follows an override's path through what is written, down to where only signatures know more."""
    node: Any = {**_expand(tree), "fit": tree.get("fit")}
    for depth, key in enumerate(keys):
        above = keys[:depth]
        if not isinstance(node, dict):
            return
        if not above:
            allowed: Iterable[str] = TOP_LEVEL
        elif above == ["fit"] or (above[0] == "stages" and depth == 2):
            allowed = STAGE_KEYS
        else:
            allowed = {*node, "class_path", "init_args"} if "class_path" in node else node
        if key not in allowed:
            where = ".".join(keys[: depth + 1])
            raise UserError(f"override {where}: there is no such setting.{nearest(key, allowed)}")
        if key in _OPEN:
            return
        node = node.get(key)


def _expand(tree: Tree) -> Tree:
    """Merges ``fit`` into every stage and drops the stages that are null."""
    common = tree.get("fit") or {}
    stages = tree.get("stages") or {}
    if not isinstance(stages, dict):
        raise UserError("stages: write a mapping of stage names to settings, not a list")
    if not isinstance(common, dict):
        raise UserError("fit: write a mapping of what all stages have in common")
    expanded = {key: value for key, value in tree.items() if key not in ("fit", "stages")}
    expanded["stages"] = {}
    for name, stage in stages.items():
        if stage is None:
            continue
        if not isinstance(stage, dict):
            raise UserError(f"stages.{name}: write a mapping of settings, or null to leave the stage out")
        merged = merge(common, stage, f"stages.{name}")
        _known(merged, STAGE_KEYS, f"stages.{name}.")
        expanded["stages"][str(name)] = merged
    return without_removed(expanded)


def without_removed(value: Any, named: bool = True) -> Any:
    """Drops the null entries of mappings of named parts (callbacks, tasks, metrics ...): null takes a part out.

    Such a mapping holds nodes with a ``class_path`` and nulls, nothing else. Among the arguments of a class
    (``init_args``) a null is a value like any other.
    """
    if isinstance(value, list):
        return [without_removed(inner) for inner in value]
    if not isinstance(value, dict):
        return value
    given = [inner for inner in value.values() if inner is not None]
    if named and given and all(isinstance(inner, dict) and "class_path" in inner for inner in given):
        value = {key: inner for key, inner in value.items() if inner is not None}
    # A mapping whose every part has been taken out shows its kind by its key alone.
    emptied = [key for key in NAMED_LISTS if isinstance(value.get(key), dict) and not any(value[key].values())]
    value = {**value, **{key: {} for key in emptied}}
    return {key: without_removed(inner, named=key != "init_args") for key, inner in value.items()}


def _resolve(tree: Tree, path: Path) -> Tree:
    try:
        config = OmegaConf.create(tree)
        resolved = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        where = getattr(error, "full_key", None) or path
        reason = str(error).splitlines()[0]
        raise UserError(f"{where}: {reason}") from error
    return resolved  # type: ignore[return-value]


def _known(tree: Tree, known: Iterable[str], prefix: str) -> None:
    for key in tree:
        if key not in known:
            raise UserError(f"{prefix}{key}: there is no such setting.{nearest(key, known)}")
