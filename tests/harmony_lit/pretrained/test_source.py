"""Files are opened without being read, and what is wrong with one is a sentence."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.torch
import torch

from harmony_lit.errors import UserError
from harmony_lit.pretrained import open_weights
from harmony_lit.pretrained.source import SafetensorsFile

TENSORS = {
    "a.weight": torch.randn(3, 2),
    "b": torch.randn(5).bfloat16(),
    "scalar": torch.tensor(2.5),
    "whole": torch.arange(4),
}


def pickled(path: Path, wrapper: str | None = None) -> Path:
    torch.save({wrapper: TENSORS, "epoch": 3} if wrapper else TENSORS, path)
    return path


def plain(folder: Path) -> Path:
    safetensors.torch.save_file(TENSORS, folder / "w.safetensors", metadata={"format": "pt"})
    return folder / "w.safetensors"


def sharded(folder: Path) -> Path:
    names = sorted(TENSORS)
    file_of = {name: f"w-0000{1 + i // 2}-of-00002.safetensors" for i, name in enumerate(names)}
    for file in set(file_of.values()):
        safetensors.torch.save_file({n: TENSORS[n] for n in names if file_of[n] == file}, folder / file)
    (folder / "w.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": file_of}))
    return folder


@pytest.mark.parametrize(
    "make",
    [
        plain,
        sharded,
        lambda folder: plain(folder).parent,
        lambda folder: sharded(folder) / "w.safetensors.index.json",
        lambda folder: pickled(folder / "w.pth"),
        lambda folder: pickled(folder / "w.pt", "generator"),
        lambda folder: pickled(folder / "w.ckpt", "state_dict"),
        lambda folder: pickled(folder / "w.bin", "module"),
    ],
)
def test_every_kind_of_file_gives_the_same_tensors(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    source = open_weights(make(tmp_path))
    assert source.shapes == {name: value.shape for name, value in TENSORS.items()}
    assert source.dtypes == {name: value.dtype for name, value in TENSORS.items()}
    for name, value in TENSORS.items():
        assert torch.equal(source.read(name), value)


def test_opening_reads_no_values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    monkeypatch.setattr(SafetensorsFile, "read", lambda self, name: read.append(name))
    source = open_weights(sharded(tmp_path))
    assert read == []
    source.read("b")
    assert read == ["b"]


def broken(**change: object) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        sharded(folder)
        index = folder / "w.safetensors.index.json"
        content = json.loads(index.read_text())
        content["weight_map"].update(change)
        index.write_text(json.dumps(content))
        return index

    return make


def cut(path: Path, keep: float) -> Path:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep)])
    return path


def written(name: str, data: bytes) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        (folder / name).write_bytes(data)
        return folder / name

    return make


def without_second_shard(folder: Path) -> Path:
    (sharded(folder) / "w-00002-of-00002.safetensors").unlink()
    return folder


def two_files(folder: Path) -> Path:
    plain(folder)
    pickled(folder / "other.pth")
    return folder


def below(folder: Path) -> Path:
    (folder / "transformer").mkdir()
    plain(folder / "transformer")
    return folder


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda f: cut(plain(f), 0.9), "cut short, 315 of 350 bytes are there"),
        (lambda f: cut(plain(f), 0.2), "cut short within its header"),
        (lambda f: cut(pickled(f / "w.pth"), 0.9), "cut short"),
        (lambda f: cut(sharded(f) / "w-00001-of-00002.safetensors", 0.9).parent, "w-00001-of-00002.safetensors"),
        (written("w.safetensors", b"version https://git-lfs.github.com/spec/v1\n"), "Git LFS pointer"),
        (written("w.pth", b"<!doctype html><html>"), "a web page"),
        (written("w.safetensors", b"hello, I am no tensors"), "no safetensors file"),
        (written("w.safetensors", b""), "empty"),
        (written("w.pth", b"hello, I am no tensors"), "not a readable weights file"),
        (written("w.gguf", b"GGUF"), ".safetensors, .pth"),
        (written("w.index.json", b"{}"), "no weight_map"),
        (lambda f: f / "none.safetensors", "there are no weights at"),
        (without_second_shard, "not there: w-00002-of-00002.safetensors"),
        (broken(b="w-00002-of-00002.safetensors"), "do not agree about b in"),
        (broken(b="../other.safetensors"), "another folder"),
        (two_files, "several weights files, name one: other.pth, w.safetensors"),
        (below, "its folders transformer do"),
    ],
)
def test_what_is_wrong_is_one_sentence(tmp_path: Path, make: Callable[[Path], Path], said: str) -> None:
    with pytest.raises(UserError) as caught:
        open_weights(make(tmp_path))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_pickle_cannot_run_code(tmp_path: Path) -> None:
    torch.save({"a": Path("x")}, tmp_path / "w.pth")
    with pytest.raises(UserError, match="holds more than tensors"):
        open_weights(tmp_path / "w.pth")
    torch.save([torch.zeros(1)], tmp_path / "w.pth")
    with pytest.raises(UserError, match="no tensors by name"):
        open_weights(tmp_path / "w.pth")


def test_a_long_pickled_file_is_mapped_anew_as_reading_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harmony_lit.pretrained.source._REMAP_BYTES", 20)
    source = open_weights(pickled(tmp_path / "w.pth"))
    first = source.read("a.weight")
    for name, value in TENSORS.items():
        assert torch.equal(source.read(name), value)
    assert source.read("a.weight").data_ptr() != first.data_ptr()
