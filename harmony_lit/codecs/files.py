"""Weights files of codecs: where they are, what they hold, and a digest that tells one codec from another."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from harmony_lit.errors import UserError
from harmony_lit.pretrained.layouts import HARMONY
from harmony_lit.pretrained.load import Piece, load_pieces
from harmony_lit.pretrained.source import open_weights

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
    source = open_weights(path)
    try:
        stored = json.loads(source.metadata.get("settings", "{}"))
    except json.JSONDecodeError as error:
        raise UserError(f"{path} is not a codec's weights file: its settings cannot be read") from error
    different = [
        f"{key} is {stored.get(key)} in the file but {settings.get(key)} here"
        for key in sorted(stored.keys() | settings.keys())
        if stored.get(key) != settings.get(key)
    ]
    if different:
        raise UserError(f"{path} was made with other settings: {'; '.join(different)}")
    # Counters, which are no floating-point numbers, are not stored.
    load_pieces(network, [Piece(source, HARMONY)], may_be_missing=["*num_batches_tracked"])


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
