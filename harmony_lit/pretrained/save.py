"""Safetensors files written one tensor at a time, whole or not at all.

The library's own writer takes all tensors at once; the format is a JSON header and the bytes one after the other
(https://huggingface.co/docs/safetensors: format).
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from harmony_lit.errors import UserError
from harmony_lit.experiment.atomic import replacing, write_json
from harmony_lit.pretrained.source import DTYPES

_NAMES = {dtype: name for name, dtype in DTYPES.items()}
Read = Callable[[str], Tensor]


def save_file(path: Path, like: Mapping[str, Tensor], read: Read, metadata: Mapping[str, str] | None = None) -> None:
    """Writes one file.

    Args:
        path: Where to.
        like: Shape and type of each tensor, for the header; may be on the meta device.
        read: Gives the values of one.
        metadata: What the file shall say of itself; ``format: pt``, which readers ask for, is added.
    """
    # The widest types first, so that each tensor begins at a multiple of its own width.
    names = sorted(like, key=lambda name: (-like[name].element_size(), name))
    header: dict[str, object] = {"__metadata__": {"format": "pt", **(metadata or {})}}
    end = 0
    for name in names:
        begin, end = end, end + like[name].nbytes
        header[name] = {
            "dtype": _NAMES[like[name].dtype],
            "shape": list(like[name].shape),
            "data_offsets": [begin, end],
        }
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with replacing(path) as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name in names:
            file.write(_bytes(read(name), like[name]))


def save_folder(
    folder: Path,
    like: Mapping[str, Tensor],
    read: Read,
    max_shard_bytes: int,
    stem: str = "model",
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Writes a new folder with one file or, where that would be too large, several and their index.

    Args:
        folder: Must not be there yet; it appears when all is written.
        like: As in ``save_file``, in the order in which they fill the files.
        read: As in ``save_file``.
        max_shard_bytes: Size of a file, which only a larger single tensor exceeds.
        stem: Name of the files without suffix.
        metadata: As in ``save_file``.
    """
    refuse_existing(folder)
    shards = _shards(like, max_shard_bytes)
    scratch = folder.with_name(f"{folder.name}.part-{os.getpid()}")
    try:
        scratch.mkdir(parents=True)
        file_of = {}
        for number, names in enumerate(shards, start=1):
            file = f"{stem}.safetensors" if len(shards) == 1 else f"{stem}-{number:05}-of-{len(shards):05}.safetensors"
            save_file(scratch / file, {name: like[name] for name in names}, read, metadata)
            file_of.update(dict.fromkeys(names, file))
        if len(shards) > 1:
            total = sum(tensor.nbytes for tensor in like.values())
            index = {"metadata": {"total_size": total}, "weight_map": file_of}
            write_json(scratch / f"{stem}.safetensors.index.json", index)
        scratch.rename(folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def refuse_existing(path: Path) -> None:
    """Raises a UserError if something is at ``path``."""
    if path.exists():
        raise UserError(f"{path} is there already: give another name, or remove it")


def _shards(like: Mapping[str, Tensor], max_bytes: int) -> list[Sequence[str]]:
    shards: list[list[str]] = [[]]
    size = 0
    for name, tensor in like.items():
        if shards[-1] and size + tensor.nbytes > max_bytes:
            shards.append([])
            size = 0
        shards[-1].append(name)
        size += tensor.nbytes
    return list(shards)


def _bytes(tensor: Tensor, like: Tensor) -> memoryview:
    assert tensor.shape == like.shape and tensor.dtype == like.dtype
    return tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data
