"""Where each sample of a latent shard lies, so that one can be read without reading those before it.

The index is derived from the tar; ``{shard}.index.json`` beside it only saves the time of deriving it again. With it, a
data order is made of numbers, and going on after a stop costs no decoding.

Shape legend: C latent channels, Tv latent frames, Ta audio latents, L tokens, D width.
"""

from __future__ import annotations

import functools
import io
import json
import tarfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from harmony_lit.errors import UserError


@dataclass(frozen=True)
class ShardIndex:
    """Per sample, in the order of the tar.

    Attributes:
        bytes: Size of the tar that was indexed.
        keys: Sample keys.
        categories: Category of each.
        video_latents: Latent frames Tv of each.
        audio_latents: Audio latents Ta of each.
        members: Suffix to (offset, size) in bytes, for each.
    """

    bytes: int
    keys: list[str]
    categories: list[str]
    video_latents: list[int]
    audio_latents: list[int]
    members: list[dict[str, tuple[int, int]]]


def index_path(shard: Path) -> Path:
    """``train-000000.tar`` -> ``train-000000.index.json``."""
    return shard.with_suffix(".index.json")


def make_index(shard: Path) -> ShardIndex:
    """Derives the index of ``shard`` from its headers and annotations.

    Raises:
        UserError: If the tar is damaged or is not a shard of latents.
    """
    samples: dict[str, dict[str, tuple[int, int]]] = {}
    index = ShardIndex(shard.stat().st_size, [], [], [], [], [])
    try:
        with tarfile.open(shard, "r:") as tar, shard.open("rb") as file:
            for member in tar:
                key, _, suffix = member.name.partition(".")
                samples.setdefault(key, {})[suffix] = (member.offset_data, member.size)
            for key, members in samples.items():
                index.keys.append(key)
                index.members.append(members)
                index.categories.append(json.loads(_read(file, members["json"]))["category"])
                index.video_latents.append(parse_npy(_read(file, members["video.npy"])).shape[1])
                index.audio_latents.append(parse_npy(_read(file, members["audio.npy"])).shape[1])
    except (tarfile.TarError, KeyError, ValueError) as error:
        raise UserError(f"shard {shard} is damaged or holds no latents ({error}): encode the clips again") from error
    return index


def write_index(shard: Path) -> ShardIndex:
    """Writes the index beside its shard, and returns it."""
    index = make_index(shard)
    index_path(shard).write_text(json.dumps(asdict(index)))
    return index


def read_index(shard: Path) -> ShardIndex:
    """The index of ``shard``: from beside it if it fits the tar, else derived."""
    try:
        values = json.loads(index_path(shard).read_text())
        if values["bytes"] == shard.stat().st_size:
            places = [{suffix: (at, size) for suffix, (at, size) in row.items()} for row in values.pop("members")]
            return ShardIndex(members=places, **values)
    except (OSError, KeyError, ValueError, TypeError, AttributeError):
        pass  # the file beside the shard is a convenience; the shard itself decides
    return make_index(shard)


def npy_bytes(array: Tensor) -> bytes:
    """A tensor as the bytes of a float16 ``.npy``.

    Raises:
        UserError: If a value is not finite or too large for float16.
    """
    half = array.detach().cpu().to(torch.float16)
    if not torch.isfinite(half).all():
        raise UserError("latents or embeddings are not finite in float16: check the codec's normalisation")
    buffer = io.BytesIO()
    np.save(buffer, half.numpy(), allow_pickle=False)
    return buffer.getvalue()


def parse_npy(data: bytes) -> Tensor:
    """The tensor in the bytes of a ``.npy``; ten times faster than ``np.load`` on arrays as small as latents."""
    header_size = 10 + int.from_bytes(data[8:10], "little")
    shape, dtype = _npy_header(data[:header_size])
    array = np.frombuffer(data, dtype, int(np.prod(shape)), offset=header_size).reshape(shape)
    return torch.from_numpy(array.copy())


@functools.lru_cache(maxsize=4096)
def _npy_header(header: bytes) -> tuple[tuple[int, ...], np.dtype[Any]]:
    file = io.BytesIO(header)
    if np.lib.format.read_magic(file) != (1, 0):
        raise ValueError("not a version 1.0 npy array")
    shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
    if fortran or dtype.hasobject:
        raise ValueError("an npy array in C order, without objects, is needed")
    return shape, dtype


def _read(file: io.BufferedReader, place: tuple[int, int]) -> bytes:
    file.seek(place[0])
    return file.read(place[1])
