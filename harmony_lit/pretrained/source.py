"""Weight files, read one tensor at a time.

Names, shapes and types are known as soon as a file is open; values come with ``read``. Files are mapped, and mapped
anew as reading goes on, since the pages that were read stay in memory as long as a mapping does.
"""

from __future__ import annotations

import json
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Size, Tensor

from harmony_lit.errors import UserError
from harmony_lit.pretrained.damage import what_is_wrong

PICKLED = (".pth", ".pt", ".ckpt", ".bin")
SUFFIXES = (".safetensors", *PICKLED)
_REMAP_BYTES = 2**28  # of a pickled file, whose opening takes a tenth of a second
WRAPPERS = ("state_dict", "model", "module", "generator")
DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
"""Types by the names that safetensors gives them."""


class WeightSource(ABC):
    """Tensors by name, read when asked for.

    Args:
        path: The file, or the index of several.
        shapes: Shape of each tensor.
        dtypes: Type of each tensor.
        metadata: What the file says of itself.
    """

    def __init__(
        self, path: Path, shapes: Mapping[str, Size], dtypes: Mapping[str, torch.dtype], metadata: Mapping[str, str]
    ) -> None:
        self.path, self.shapes, self.dtypes, self.metadata = path, dict(shapes), dict(dtypes), dict(metadata)

    @abstractmethod
    def read(self, name: str) -> Tensor:
        """The tensor, on the CPU; nobody else holds it, and it must not be written to."""

    @property
    def files(self) -> list[Path]:
        """The files that hold the tensors."""
        return [self.path]

    def bytes_of(self, name: str) -> int:
        """Bytes of one tensor."""
        return self.shapes[name].numel() * self.dtypes[name].itemsize

    def meta(self, name: str) -> Tensor:
        """A tensor of the same shape and type without values."""
        return torch.empty(self.shapes[name], dtype=self.dtypes[name], device="meta")


class SafetensorsFile(WeightSource):
    """One ``.safetensors`` file.

    Raises:
        UserError: If it is damaged, cut short, or something else.
    """

    def __init__(self, path: Path) -> None:
        try:
            with safe_open(path, framework="pt") as file:
                slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
                shapes = {name: Size(entry.get_shape()) for name, entry in slices.items()}
                types = {name: str(entry.get_dtype()) for name, entry in slices.items()}
                metadata = file.metadata() or {}
        except (OSError, SafetensorError) as error:
            raise UserError(f"{path} is not a readable weights file: {what_is_wrong(path, error)}") from error
        if foreign := sorted(set(types.values()) - DTYPES.keys()):
            raise UserError(f"{path} holds tensors of type {', '.join(foreign)}: give weights that are not quantised")
        super().__init__(path, shapes, {name: DTYPES[kind] for name, kind in types.items()}, metadata)

    def read(self, name: str) -> Tensor:
        """See the base."""
        with safe_open(self.path, framework="pt") as file:
            tensor: Tensor = file.get_tensor(name)
        return tensor


class PickledFile(WeightSource):
    """One ``.pth`` file or the like.

    Args:
        path: The file. The oldest ones, of torch before 1.6, cannot be mapped and are held as a whole.
        wrappers: Keys under which the tensors may lie.

    Raises:
        UserError: If it is damaged, cut short, something else, or holds more than tensors and plain values.
    """

    def __init__(self, path: Path, wrappers: Sequence[str]) -> None:
        tensors = _read_pickled(path, wrappers)
        shapes = {name: tensor.shape for name, tensor in tensors.items()}
        super().__init__(path, shapes, {name: tensor.dtype for name, tensor in tensors.items()}, {})
        self._wrappers, self._tensors = wrappers, tensors
        self._left = _REMAP_BYTES if zipfile.is_zipfile(path) else float("inf")

    def read(self, name: str) -> Tensor:
        """See the base."""
        if self._left < 0:
            self._tensors, self._left = _read_pickled(self.path, self._wrappers), _REMAP_BYTES
        self._left -= self.bytes_of(name)
        return self._tensors[name]


class Tensors(WeightSource):
    """Tensors that are there already, such as those of a module or a checkpoint.

    Args:
        path: Where they come from.
        tensors: Tensors by name.
    """

    def __init__(self, path: Path, tensors: Mapping[str, Tensor]) -> None:
        shapes = {name: tensor.shape for name, tensor in tensors.items()}
        super().__init__(path, shapes, {name: tensor.dtype for name, tensor in tensors.items()}, {})
        self._tensors = tensors

    def read(self, name: str) -> Tensor:
        """See the base."""
        return self._tensors[name]


class Shards(WeightSource):
    """Several files under an ``.index.json``, as diffusers and transformers write them.

    Raises:
        UserError: If a file is missing or damaged, or index and files name different tensors.
    """

    def __init__(self, index: Path) -> None:
        file_of = _read_index(index)
        absent = [file for file in sorted(set(file_of.values())) if not (index.parent / file).is_file()]
        if absent:
            raise UserError(f"{index} names files that are not there: {some(absent)}")
        shards = {file: _open_file(index.parent / file, WRAPPERS) for file in sorted(set(file_of.values()))}
        held = {(name, file) for file, shard in shards.items() for name in shard.shapes}
        if different := sorted(f"{name} in {file}" for name, file in held ^ set(file_of.items())):
            raise UserError(f"{index} and its files do not agree about {some(different)}")
        self._shard_of = {name: shards[file] for name, file in file_of.items()}
        super().__init__(
            index,
            {name: shard.shapes[name] for name, shard in self._shard_of.items()},
            {name: shard.dtypes[name] for name, shard in self._shard_of.items()},
            {key: value for shard in shards.values() for key, value in shard.metadata.items()},
        )
        self._files = [shard.path for shard in shards.values()]

    @property
    def files(self) -> list[Path]:
        """See the base."""
        return self._files

    def read(self, name: str) -> Tensor:
        """See the base."""
        return self._shard_of[name].read(name)


def open_weights(path: str | Path, wrappers: Sequence[str] = WRAPPERS) -> WeightSource:
    """Opens published weights without reading them.

    Args:
        path: A ``.safetensors`` file, a pickled one (``.pth``, ``.pt``, ``.ckpt``, ``.bin``), an ``.index.json`` over
            several, or a folder that holds one of these.
        wrappers: Keys of a pickled file under which the tensors may lie; the first that is there is taken.

    Raises:
        UserError: If there is nothing, several things, or something damaged.
    """
    path = Path(path)
    if path.is_dir():
        path = _inside(path)
    if not path.is_file():
        raise UserError(f"there are no weights at {path}")
    return Shards(path) if path.name.endswith(".index.json") else _open_file(path, wrappers)


def some(names: Sequence[str], limit: int = 6) -> str:
    """The first of ``names``, and how many more there are."""
    return ", ".join(names[:limit]) + (f" and {len(names) - limit} more" if len(names) > limit else "")


def _open_file(path: Path, wrappers: Sequence[str]) -> WeightSource:
    if path.suffix == ".safetensors":
        return SafetensorsFile(path)
    if path.suffix in PICKLED:
        return PickledFile(path, wrappers)
    raise UserError(f"{path} is not a weights file: these end in {', '.join(SUFFIXES)} or .index.json")


def _read_pickled(path: Path, wrappers: Sequence[str]) -> dict[str, Tensor]:
    """The tensors of a pickled file, mapped where its format allows it (all since torch 1.6)."""
    try:
        content: Any = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except Exception as error:  # torch raises what the pickle, the archive and the mapping raise
        raise UserError(f"{path} is not a readable weights file: {what_is_wrong(path, error)}") from error
    while isinstance(content, Mapping):
        inner = next((content[key] for key in wrappers if isinstance(content.get(key), Mapping)), None)
        if inner is None:
            break
        content = inner
    entries = content.items() if isinstance(content, Mapping) else ()
    tensors = {str(name): value for name, value in entries if isinstance(value, Tensor)}
    if not tensors:
        raise UserError(f"{path} is not a readable weights file: it holds no tensors by name")
    return tensors


def _read_index(index: Path) -> dict[str, str]:
    try:
        file_of = json.loads(index.read_text())["weight_map"]
        plain = all(isinstance(file, str) and Path(file).name == file for file in file_of.values())
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{index} is not a readable index of weights files: it has no weight_map") from error
    if not plain:
        raise UserError(f"{index} is not a readable index of weights files: it names files of another folder")
    return dict(file_of)


def _inside(folder: Path) -> Path:
    """The one index or weights file in a folder."""
    indices = sorted(folder.glob("*.index.json"))
    found = indices or sorted(path for path in folder.iterdir() if path.suffix in SUFFIXES)
    if len(found) == 1:
        return found[0]
    if found:
        raise UserError(f"{folder} holds several weights files, name one: {some([path.name for path in found])}")
    below = sorted({path.parent.name for suffix in SUFFIXES for path in folder.glob(f"*/*{suffix}")})
    raise UserError(f"{folder} holds no weights file" + (f"; its folders {some(below)} do" if below else ""))
