from pathlib import Path

import pytest
import torch
from torch import nn

from harmony_lit.errors import UserError
from harmony_lit.experiment.weights import export_weights, load_strictly, read_weights


def model() -> nn.Sequential:
    return nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))


def test_weights_that_fit_are_loaded() -> None:
    source, target = model(), model()
    assert load_strictly(target, source.state_dict(), (), "here") == []
    assert all(torch.equal(a, b) for a, b in zip(source.parameters(), target.parameters(), strict=True))


def test_keys_may_be_missing_only_where_a_pattern_says_so() -> None:
    target = model()
    before = target[1].weight.clone()
    weights = {name: value for name, value in model().state_dict().items() if name.startswith("0.")}
    assert load_strictly(target, weights, ("1.*",), "here") == ["1.weight", "1.bias"]
    assert torch.equal(target[1].weight, before)
    with pytest.raises(UserError, match=r"1 missing \(1.bias\)"):
        load_strictly(target, weights, ("1.weight",), "here")


def test_everything_that_does_not_fit_is_told_at_once() -> None:
    weights = {**model().state_dict(), "0.weight": torch.zeros(5, 2), "head.weight": torch.zeros(1)}
    del weights["1.bias"]
    target = model()
    before = [parameter.clone() for parameter in target.parameters()]
    with pytest.raises(UserError) as caught:
        load_strictly(target, weights, (), "old.safetensors")
    for said in ("old.safetensors", "1 missing (1.bias)", "1 unexpected (head.weight)", "(5, 2) instead of (3, 2)"):
        assert said in str(caught.value)
    assert all(torch.equal(a, b) for a, b in zip(before, target.parameters(), strict=True))


def test_ema_and_raw_weights_are_told_apart(tmp_path: Path) -> None:
    averaged, raw = model().state_dict(), model().state_dict()
    torch.save({"state_dict": averaged, "current_model_state": raw}, tmp_path / "last.ckpt")
    for which, expected in (("ema", averaged), ("raw", raw)):
        assert torch.equal(read_weights(tmp_path / "last.ckpt", which)["0.weight"], expected["0.weight"])
    export_weights(tmp_path / "last.ckpt", tmp_path / "weights.safetensors")
    assert torch.equal(read_weights(tmp_path / "weights.safetensors")["0.weight"], averaged["0.weight"])


@pytest.mark.parametrize("name", ["last.ckpt", "weights.safetensors"])
def test_a_damaged_file_is_one_sentence(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"damaged")
    with pytest.raises(UserError, match="not a readable") as caught:
        read_weights(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_a_checkpoint_cannot_run_code(tmp_path: Path) -> None:
    torch.save({"state_dict": {}, "callbacks": Path("x")}, tmp_path / "last.ckpt")
    with pytest.raises(UserError, match="not a readable checkpoint"):
        read_weights(tmp_path / "last.ckpt")
