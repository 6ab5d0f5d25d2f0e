"""A file's layout is found by a few of its tensors, and what is in none is told what is nearest."""

from pathlib import Path

import pytest
import torch

from harmony_lit.errors import UserError
from harmony_lit.pretrained import LAYOUTS, Layout, detect, layout_named
from harmony_lit.pretrained.source import Tensors
from tests.harmony_lit.pretrained import wans


def holding(shapes: dict[str, tuple[int, ...]]) -> Tensors:
    return Tensors(Path("file"), {name: torch.empty(shape, device="meta") for name, shape in shapes.items()})


@pytest.mark.parametrize("known", LAYOUTS, ids=lambda known: known.name)
def test_each_layout_is_told_from_the_others_by_its_telltale_under_every_prefix(known: Layout) -> None:
    for prefix in known.prefixes:
        shapes = {prefix + name: tuple(size or 8 for size in shape) for name, shape in known.telltale.items()}
        assert detect(holding(shapes)).name == known.name


@pytest.mark.parametrize("known", LAYOUTS, ids=lambda known: known.name)
def test_names_of_the_telltale_go_to_ours_and_back(known: Layout) -> None:
    for name in known.telltale:
        ours = known.rename(name)
        if ours is not None and known.combine is None:
            assert known.restore(ours) == name


def test_the_names_of_a_found_layout_have_its_prefix() -> None:
    shapes = {f"model.{name}": tuple(value.shape) for name, value in wans.theirs().state_dict().items()}
    found = detect(holding(shapes))
    assert found.rename("model.proj_out.weight") == "head.head.weight"
    assert found.restore("head.head.weight") == "model.proj_out.weight"
    assert found.differences({name: torch.Size(shape) for name, shape in shapes.items()}) == []


def test_the_nearest_layout_and_what_differs_are_named() -> None:
    shapes = {name: tuple(value.shape) for name, value in wans.ours().state_dict().items()}
    shapes["blocks.0.modulation"] = (1, 9, 24)
    del shapes["head.modulation"]
    with pytest.raises(UserError) as caught:
        detect(holding(shapes))
    assert "nearest is wan-original (Wan-AI" in str(caught.value)
    assert "blocks.0.modulation (1, 9, 24) instead of (1, 6, any), no head.modulation" in str(caught.value)


def test_a_file_of_something_else_is_told_what_is_known() -> None:
    with pytest.raises(UserError, match=r"its 1 tensors are conv.weight; known are .*wan-diffusers"):
        detect(holding({"conv.weight": (3, 3)}))


def test_a_layout_is_named() -> None:
    assert layout_named("wan-original").part == "network.video"
    with pytest.raises(UserError, match="Did you mean 'wan-diffusers'"):
        layout_named("wan-difusers")
