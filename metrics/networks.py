"""Pretrained networks of metrics: named by a path or a hub id, loaded once in a process, shared by all who ask.

A metric is built without its network, so that an experiment can be checked, and a metric sent to a worker process, in
no time; the network is loaded when the first clip is measured.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch
from torch import nn

from harmony_lit.errors import UserError
from harmony_lit.placement import resolve_device

Loaded = TypeVar("Loaded")
Precision = Literal["fp32", "fp16", "bf16"]
_DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
_SHARED: dict[Hashable, Any] = {}


@dataclass(frozen=True)
class Runtime:
    """Where and how precisely a network runs.

    Attributes:
        device: ``cpu``, ``cuda:1`` ...; the accelerator, if there is one, when not given.
        precision: Type of its weights and inputs.
    """

    device: str | None = None
    precision: Precision = "fp32"

    @property
    def torch_device(self) -> torch.device:
        """The device."""
        return resolve_device(self.device)

    @property
    def dtype(self) -> torch.dtype:
        """The type."""
        return _DTYPES[self.precision]

    def place(self, network: nn.Module) -> nn.Module:
        """``network`` in evaluation, frozen, on the device and in the precision."""
        return network.eval().requires_grad_(False).to(self.torch_device, self.dtype)


def shared(load: Callable[..., Loaded], *arguments: Hashable) -> Loaded:
    """``load(*arguments)``, made once in this process and given to all who ask for the same."""
    key = (load.__module__, load.__qualname__, arguments)
    if key not in _SHARED:
        _SHARED[key] = load(*arguments)
    return _SHARED[key]


def forget_shared() -> None:
    """Lets all shared networks go, and their memory."""
    _SHARED.clear()


def absent(weights: str | None, what: str) -> str | None:
    """What to say, after ``needs``, if the file or folder ``weights`` is not there; None if it is.

    Args:
        weights: A path, or None where a setting was left empty.
        what: What is wanted and where it comes from, as in ``SyncNet's weights (syncnet_v2.model)``.
    """
    if weights is None:
        return what
    return None if Path(weights).exists() else f"{what}; there is nothing at {weights}"


def absent_package(name: str, extra: str) -> str | None:
    """What to say, after ``needs``, if the package ``name`` is not installed; ``extra`` says how to install it."""
    return None if find_spec(name) else f"the package {name} ({extra})"


def absent_model(name: str | None, what: str) -> str | None:
    """Like ``absent`` for a folder or hub id of a transformers model."""
    if name is None:
        return what
    try:
        locate_model(name)
    except UserError as error:
        return f"{what}; {error}"
    return None


@cache
def locate_model(name: str) -> Path:
    """The folder of a transformers model: a path, or a hub id that is in the cache or can be fetched.

    Raises:
        UserError: If it is neither.
    """
    if Path(name).is_dir():
        return Path(name)
    if name.startswith((".", "/", "~")) or name.count("/") != 1:
        raise UserError(f"there is no folder {name}")
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, local_files_only=True))
    except Exception:  # the hub's own errors, which differ between its versions: not in the cache
        pass
    try:
        return Path(snapshot_download(name, allow_patterns=["*.json", "*.txt", "*.safetensors", "*.model"]))
    except Exception as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{name} is not in the hub's cache and could not be fetched ({reason})") from None


def name_of(weights: str | None) -> str:
    """How a checkpoint is told apart beside a number: ``FILE sha256:0123456789ab`` for a file, else as it was given."""
    if weights is None or not Path(weights).is_file():
        return weights or ""
    return f"{Path(weights).name} sha256:{_digest(weights, Path(weights).stat().st_mtime_ns)[:12]}"


@cache
def _digest(path: str, modified_ns: int) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
