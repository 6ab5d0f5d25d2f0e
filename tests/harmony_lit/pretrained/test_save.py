"""What is written tensor by tensor is what the library writes and reads, whole or not at all."""

from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import Tensor

from harmony_lit.errors import UserError
from harmony_lit.pretrained.save import save_file, save_folder
from harmony_lit.pretrained.source import DTYPES


def tensors() -> dict[str, Tensor]:
    made = {f"of.{name}": torch.randn(3, 5).mul(10).to(dtype) for name, dtype in DTYPES.items()}
    return {**made, "scalar": torch.tensor(1.5), "none": torch.zeros(0, 4), "turned": torch.randn(4, 6).t()}


def test_the_library_reads_what_is_written_and_would_have_written_the_same_bytes(tmp_path: Path) -> None:
    given = tensors()
    save_file(tmp_path / "a.safetensors", given, given.__getitem__)
    read = safetensors.torch.load_file(tmp_path / "a.safetensors")
    assert read.keys() == given.keys()
    assert all(torch.equal(read[name].double(), given[name].double()) for name in given)
    assert all(read[name].dtype == given[name].dtype for name in given)
    whole = {name: value.contiguous() for name, value in given.items() if value.dtype in (torch.float32, torch.int8)}
    save_file(tmp_path / "b.safetensors", whole, whole.__getitem__)
    safetensors.torch.save_file(whole, tmp_path / "c.safetensors", metadata={"format": "pt"})
    assert (tmp_path / "b.safetensors").read_bytes() == (tmp_path / "c.safetensors").read_bytes()


def test_a_write_that_fails_leaves_nothing(tmp_path: Path) -> None:
    given = {"a": torch.zeros(10), "b": torch.zeros(10), "c": torch.zeros(10)}

    def read(name: str) -> Tensor:
        if name == "b":
            raise UserError("the disk is gone")
        return given[name]

    with pytest.raises(UserError):
        save_file(tmp_path / "a.safetensors", given, read)
    with pytest.raises(UserError):
        save_folder(tmp_path / "folder", given, read, max_shard_bytes=40)
    assert list(tmp_path.iterdir()) == []


def test_files_are_filled_up_to_their_size_and_a_larger_tensor_stands_alone(tmp_path: Path) -> None:
    given = {name: torch.zeros(size) for name, size in {"a": 5, "b": 5, "c": 30, "d": 10}.items()}
    save_folder(tmp_path / "out", given, given.__getitem__, max_shard_bytes=40, stem="m")
    held = [sorted(safetensors.torch.load_file(path)) for path in sorted((tmp_path / "out").glob("m-*-of-00003.*"))]
    assert held == [["a", "b"], ["c"], ["d"]]
    with pytest.raises(UserError, match="is there already"):
        save_folder(tmp_path / "out", given, given.__getitem__, max_shard_bytes=40)
