"""Weights files of codecs: where they are, what they hold, and a digest that tells one codec from another."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from harmony_lit.errors import UserError

_PACKAGED = Path(__file__).parent / "weights"
_SUFFIX = ".safetensors"


def resolve_weights(weights: str, kind: str) -> Path:
    """The file that ``weights`` names.

    Args:
        weights: A path ending in ``.safetensors``, or the name of a packaged file: ``world`` with kind ``video`` is
            ``harmony_lit/codecs/weights/world_video.safetensors``.
        kind: ``video`` or ``audio``.

    Raises:
        UserError: If there is no such file; the message says what there is.
    """
    path = Path(weights) if weights.endswith(_SUFFIX) else _PACKAGED / f"{weights}_{kind}{_SUFFIX}"
    if not path.is_file():
        names = sorted(p.name.removesuffix(f"_{kind}{_SUFFIX}") for p in _PACKAGED.glob(f"*_{kind}{_SUFFIX}"))
        raise UserError(
            f"no {kind} codec weights at {path}: give a path ending in {_SUFFIX} or one of the packaged names "
            f"({', '.join(names) or 'none are built yet'}); `make codecs` builds the world's"
        )
    return path


def save_weights(path: str | Path, network: nn.Module, settings: Mapping[str, Any]) -> None:
    """Writes the state of ``network`` as half precision (statistics as float32), with ``settings`` in the metadata."""
    tensors = {
        name: value.detach().cpu().to(torch.float16 if value.dim() > 1 else torch.float32).contiguous()
        for name, value in network.state_dict().items()
        if value.is_floating_point()
    }
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    safetensors.torch.save_file(tensors, path, metadata={"settings": json.dumps(dict(settings), sort_keys=True)})


def load_weights(path: str | Path, network: nn.Module, settings: Mapping[str, Any]) -> None:
    """Fills ``network`` in place from a file of ``save_weights``.

    Raises:
        UserError: If the file is no such file, was made with other settings, or its tensors are not the network's.
    """
    try:
        with safe_open(path, framework="pt") as file:
            stored = json.loads((file.metadata() or {}).get("settings", "{}"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    except (SafetensorError, json.JSONDecodeError) as error:
        raise UserError(f"{path} is not a readable codec weights file: {error}") from error
    different = [
        f"{key} is {stored.get(key)} in the file but {settings.get(key)} here"
        for key in sorted(stored.keys() | settings.keys())
        if stored.get(key) != settings.get(key)
    ]
    if different:
        raise UserError(f"{path} was made with other settings: {'; '.join(different)}")
    state = {name: value for name, value in network.state_dict().items() if value.is_floating_point()}
    if difference := _describe_difference(state, tensors):
        raise UserError(f"{path} does not hold this codec's weights: {difference}")
    network.load_state_dict({name: tensors[name].to(value.dtype) for name, value in state.items()}, strict=False)


def fingerprint(name: str, settings: Mapping[str, Any], state: Mapping[str, Tensor]) -> str:
    """SHA-256 over the class name, its settings and the bytes of every tensor."""
    digest = hashlib.sha256(f"{name} {json.dumps(dict(settings), sort_keys=True)}".encode())
    for key, value in sorted(state.items()):
        digest.update(f"{key} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().flatten().contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def file_fingerprint(name: str, settings: Mapping[str, Any], weights: Mapping[str, Sequence[Path]]) -> str:
    """SHA-256 over the class name, its settings and the bytes of its weights' files, which are not loaded for it.

    The same weights in another layout count as others: undoing a factorisation may round differently elsewhere.

    Args:
        name: Name of the codec's class.
        settings: What else shapes latents or what is made of them.
        weights: The files of each of the codec's networks.
    """
    digests = {network: [_digest(path) for path in files] for network, files in weights.items()}
    described = f"{name} {json.dumps(dict(settings), sort_keys=True)} {json.dumps(digests, sort_keys=True)}"
    return hashlib.sha256(described.encode()).hexdigest()


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _describe_difference(expected: Mapping[str, Tensor], found: Mapping[str, Tensor], most: int = 5) -> str:
    """A sentence on the missing, unknown and misshapen tensors; empty if there are none."""
    shapes = [
        f"{name} {tuple(found[name].shape)} instead of {tuple(expected[name].shape)}"
        for name in sorted(expected.keys() & found.keys())
        if found[name].shape != expected[name].shape
    ]
    groups = (
        ("missing", sorted(expected.keys() - found.keys())),
        ("unknown", sorted(found.keys() - expected.keys())),
        ("of another shape", shapes),
    )
    parts = []
    for title, names in groups:
        if names:
            rest = f" and {len(names) - most} more" if len(names) > most else ""
            parts.append(f"{title}: {', '.join(names[:most])}{rest}")
    return "; ".join(parts)
