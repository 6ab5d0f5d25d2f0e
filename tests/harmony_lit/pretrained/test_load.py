"""Loading is strict, all or nothing, and holds one tensor at a time."""

import weakref
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from harmony_lit.errors import UserError
from harmony_lit.pretrained import Piece, load_pieces, load_pretrained
from harmony_lit.pretrained.layout import Layout
from harmony_lit.pretrained.layouts import HARMONY
from harmony_lit.pretrained.source import Tensors
from tests.harmony_lit.pretrained import wans


def model() -> nn.Sequential:
    return nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))


def piece(tensors: Mapping[str, Tensor], path: str = "here.safetensors", **where: str) -> Piece:
    return Piece(Tensors(Path(path), tensors), HARMONY, **where)


class Watched(Tensors):
    """Makes each tensor when it is read, and counts how many of those before are still alive."""

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        super().__init__(Path("watched"), tensors)
        self.given: list[weakref.ref[Tensor]] = []
        self.alive: list[int] = []

    def read(self, name: str) -> Tensor:
        self.alive.append(sum(ref() is not None for ref in self.given))
        made = super().read(name).clone()
        self.given.append(weakref.ref(made))
        return made


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_one_tensor_is_held_beside_the_module(device: str) -> None:
    expected = wans.ours()
    source = Watched(expected.state_dict())
    with torch.device(device):
        tower = wans.ours()
    load_pretrained(tower, source)
    assert wans.same(tower, expected)
    assert source.alive == [0] * len(expected.state_dict())


def test_a_module_on_the_meta_device_gets_values_in_its_own_types_and_stays_frozen_where_it_was() -> None:
    expected = wans.ours()
    with torch.device("meta"):
        tower = wans.ours().to(torch.bfloat16).requires_grad_(False)
        tower.head.modulation.requires_grad_(True)
    load_pretrained(tower, Tensors(Path("a"), expected.state_dict()))
    for name, value in tower.named_parameters():
        assert value.dtype == torch.bfloat16
        assert value.requires_grad == (name == "head.modulation")
        assert torch.equal(value, expected.state_dict()[name].bfloat16())


def test_names_may_be_missing_only_where_a_pattern_says_so() -> None:
    target = model()
    before = target[1].weight.clone()
    given = {name: value for name, value in model().state_dict().items() if name.startswith("0.")}
    assert load_pieces(target, [piece(given)], ["1.*"]) == ["1.weight", "1.bias"]
    assert torch.equal(target[1].weight, before)
    assert torch.equal(target[0].weight, given["0.weight"])
    with pytest.raises(UserError, match=r"1 missing \(1.bias\)"):
        load_pieces(target, [piece(given)], ["1.weight"])


def test_everything_that_does_not_fit_is_told_at_once_and_nothing_is_loaded() -> None:
    given = {**model().state_dict(), "0.weight": torch.zeros(5, 2), "head.weight": torch.zeros(1)}
    given["0.bias"] = given["0.bias"].to(torch.int8)
    del given["1.bias"]
    target = model()
    before = [parameter.clone() for parameter in target.parameters()]
    with pytest.raises(UserError) as caught:
        load_pieces(target, [piece(given, "old.safetensors")])
    for said in (
        "old.safetensors",
        "1 missing (1.bias)",
        "1 unexpected (head.weight)",
        "0.weight (5, 2) instead of (3, 2)",
        "0.bias int8 instead of float32",
    ):
        assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert all(torch.equal(a, b) for a, b in zip(before, target.parameters(), strict=True))


def test_nothing_is_loaded_of_the_first_file_if_the_second_does_not_fit() -> None:
    whole = model().state_dict()
    first = {name: value for name, value in whole.items() if name.startswith("0.")}
    target = model()
    before = target[0].weight.clone()
    with pytest.raises(UserError, match=r"first.*second.*1 missing \(1.bias\)"):
        load_pieces(target, [piece(first, "first"), piece({"1.weight": whole["1.weight"]}, "second")])
    assert torch.equal(target[0].weight, before)


def test_the_later_of_two_files_counts() -> None:
    one, other, target = model().state_dict(), model()[0].state_dict(), model()
    load_pieces(target, [piece(one), piece(other, prefix="0.")])
    assert torch.equal(target[0].weight, other["weight"])
    assert torch.equal(target[1].weight, one["1.weight"])


def test_only_a_part_of_a_file_is_taken() -> None:
    given, target = model().state_dict(), model()
    before = target[0].weight.clone()
    load_pieces(target, [piece(given, only="1.")], ["0.*"])
    assert torch.equal(target[0].weight, before)
    assert torch.equal(target[1].weight, given["1.weight"])


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_a_tied_tensor_needs_one_of_its_names_and_stays_tied(device: str) -> None:
    with torch.device(device):
        target = nn.ModuleDict({"shared": nn.Embedding(4, 2), "encoder": nn.Embedding(4, 2)})
        target["encoder"].weight = target["shared"].weight
    given = {"encoder.weight": torch.randn(4, 2)}
    load_pieces(target, [piece(given)])
    assert target["encoder"].weight is target["shared"].weight
    assert torch.equal(target["shared"].weight, given["encoder.weight"])


def test_what_would_stay_without_values_is_told_before_anything_is_loaded() -> None:
    with torch.device("meta"):
        target = model()
        target.register_buffer("table", torch.zeros(3), persistent=False)
    with pytest.raises(UserError, match="meta device.*1.weight, 1.bias, table"):
        load_pieces(target, [piece(model()[0].state_dict(), prefix="0.")], ["1.*"])
    assert all(value.is_meta for value in target.parameters())


def test_several_published_tensors_may_make_one() -> None:
    """Weight norm: published as direction and length, ours their product."""
    layout = Layout(
        name="normed",
        publisher="nobody",
        licence="none",
        part="",
        telltale={"weight_v": (None, None), "weight_g": (None, 1)},
        rename=lambda name: "weight" if name.startswith("weight_") else name,
        restore=lambda name: name,
        combine=lambda name, given: (
            given["weight_g"] * given["weight_v"] / given["weight_v"].norm(dim=1, keepdim=True)
            if name == "weight"
            else given[name]
        ),
    )
    target = nn.Linear(3, 2)
    given = {"weight_v": torch.randn(2, 3), "weight_g": torch.rand(2, 1), "bias": torch.randn(2)}
    load_pretrained(target, Tensors(Path("a"), given), layout)
    torch.testing.assert_close(target.weight.norm(dim=1, keepdim=True), given["weight_g"])
    assert torch.equal(target.bias, given["bias"])
    with pytest.raises(UserError, match=r"weight \(2, 4\) instead of \(2, 3\)"):
        load_pretrained(target, Tensors(Path("a"), {**given, "weight_v": torch.randn(2, 4)}), layout)


def test_the_licence_is_told_once(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    source = Tensors(tmp_path / "wan", wans.ours().state_dict())
    for _ in range(2):
        load_pretrained(wans.ours(), source)
    assert capsys.readouterr().err.count("licence Apache-2.0") == 1
