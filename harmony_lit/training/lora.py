"""Low-rank adapters (Hu et al. 2021) on frozen linear layers, through peft.

W x becomes W x + (alpha / rank) B A x with A (rank, in) and B (out, rank); only A and B are trained.

A model is built without adapters; ``HarmonyModule.configure_model`` puts them in when training begins. So whatever
builds a model from an experiment (``sample``, ``bench``, ``weights verify``, the next stage) meets the plain layout.
"""

from __future__ import annotations

import fnmatch
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from harmony_lit.errors import UserError, nearest

NAME = "default"
"""What peft calls the adapter: one of them holds all entries of a stage, each with its rank."""
INSIDE = "network"
"""The part of the module that peft sees; its names begin below it."""


class LoRA:
    """Adapters of one rank on the linear layers that patterns name; a stage may have several such entries.

    Args:
        targets: Patterns of linear layers, such as ``network.video.blocks.*.self_attn.{q,k,v,o}``: ``*`` is anything,
            ``{a,b}`` either.
        rank: Rank of the update.
        alpha: The update counts alpha / rank times; equal to the rank if not given.
        train_also: Patterns of parameters that are trained in full beside the adapters (``network.interaction.*``).
    """

    def __init__(
        self, targets: Sequence[str], rank: int = 32, alpha: float | None = None, train_also: Sequence[str] = ()
    ) -> None:
        if rank < 1:
            raise ValueError(f"adapters: rank must be at least 1, got {rank}")
        self.targets, self.rank, self.alpha = list(targets), rank, float(rank if alpha is None else alpha)
        self.train_also = list(train_also)


def attach(module: nn.Module, adapters: Mapping[str, LoRA], seed: int = 0) -> dict[str, Any]:
    """Puts adapters into ``module.network``; all else of the module is frozen, but for what ``train_also`` names.

    B begins at zero, so that nothing changes at first; A is drawn from ``seed`` alone.

    Args:
        module: A ``HarmonyModule`` or anything with a ``network``.
        adapters: Entries by name.
        seed: Seed of A.

    Returns:
        ``config``, peft's own as JSON, and ``scale`` (alpha / rank) of each layer by its name.

    Raises:
        UserError: If a pattern matches nothing, a layer has two entries, or peft is not installed.
    """
    chosen = _chosen(module, adapters)
    also = [name for key, lora in adapters.items() for name in _parameters(module, lora.train_also, key)]
    config = _peft_config(chosen, adapters)
    from peft import inject_adapter_in_model

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        inject_adapter_in_model(config, module.get_submodule(INSIDE), NAME)
    parameters = dict(module.named_parameters())
    wanted = {parameters.get(name, parameters.get(_wrapped(name))) for name in also}
    for name, parameter in parameters.items():
        parameter.requires_grad_(".lora_" in name or parameter in wanted)
    told = {key: sorted(value) if isinstance(value, set) else value for key, value in config.to_dict().items()}
    scale = {name: adapters[key].alpha / adapters[key].rank for name, key in chosen.items()}
    return {"config": json.dumps({**told, "inference_mode": True}, indent=2, sort_keys=True), "scale": scale}


def expand(pattern: str) -> list[str]:
    """``a.{q,k}`` as ``a.q`` and ``a.k``."""
    found = re.search(r"\{([^{}]*)\}", pattern)
    if found is None:
        return [pattern]
    before, after = pattern[: found.start()], pattern[found.end() :]
    return [one for part in found[1].split(",") for one in expand(before + part.strip() + after)]


def _chosen(module: nn.Module, adapters: Mapping[str, LoRA]) -> dict[str, str]:
    """Names of the linear layers that get adapters, each with the entry that names it."""
    linears = [
        name for name, layer in module.named_modules() if isinstance(layer, nn.Linear) and name.startswith(f"{INSIDE}.")
    ]
    chosen: dict[str, str] = {}
    for key, lora in adapters.items():
        if not lora.targets:
            raise UserError(f"model.adapters.{key}: targets names no layer")
        for name in _matched(linears, lora.targets, f"model.adapters.{key}.targets", "linear layer"):
            if chosen.setdefault(name, key) != key:
                raise UserError(f"model.adapters.{key}: {name} has an adapter already, that of '{chosen[name]}'")
    return chosen


def _parameters(module: nn.Module, patterns: Sequence[str], key: str) -> list[str]:
    names = [name for name, _ in module.named_parameters()]
    return _matched(names, patterns, f"model.adapters.{key}.train_also", "parameter")


def _matched(names: Sequence[str], patterns: Sequence[str], path: str, kind: str) -> list[str]:
    found: dict[str, None] = {}
    for pattern in (one for given in patterns for one in expand(given)):
        matched = fnmatch.filter(names, pattern)
        if not matched:
            raise UserError(f"{path}: '{pattern}' matches no {kind}.{nearest(pattern, map(_general, names))}")
        found.update(dict.fromkeys(matched))
    return list(found)


def _general(name: str) -> str:
    """``blocks.7.ffn.0`` as ``blocks.*.ffn.0``: the number of a layer is not what a pattern is wrong about."""
    return re.sub(r"\b(blocks|layers)\.\d+\b", r"\1.*", name)


def _wrapped(name: str) -> str:
    """The name that a parameter of an adapted layer gets."""
    stem, _, leaf = name.rpartition(".")
    return f"{stem}.base_layer.{leaf}"


def _peft_config(chosen: Mapping[str, str], adapters: Mapping[str, LoRA]) -> Any:
    try:
        from peft import LoraConfig
    except ImportError as error:
        raise UserError("model.adapters: LoRA needs peft; install it with `pip install harmony-lit[lora]`") from error

    names = {name.removeprefix(f"{INSIDE}."): key for name, key in chosen.items()}
    first, *others = adapters
    patterns = {key: _either(name for name, owner in names.items() if owner == key) for key in others}
    return LoraConfig(
        r=adapters[first].rank,
        lora_alpha=adapters[first].alpha,  # type: ignore[arg-type]
        target_modules=list(names),
        rank_pattern={patterns[key]: adapters[key].rank for key in others},
        alpha_pattern={patterns[key]: adapters[key].alpha for key in others},  # type: ignore[misc]
    )


def _either(names: Iterable[str]) -> str:
    return "|".join(map(re.escape, names))
