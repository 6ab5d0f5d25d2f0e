"""What a conversion writes is known before a value is read."""

from pathlib import Path

import pytest
import torch

from harmony_lit.errors import UserError
from harmony_lit.pretrained.convert import plan
from harmony_lit.pretrained.ovi import OVI
from harmony_lit.pretrained.source import Tensors
from harmony_lit.pretrained.wan import WAN_DIFFUSERS, WAN_ORIGINAL
from tests.harmony_lit.ovi_layout import Size, published_shapes
from tests.harmony_lit.pretrained import wans


def test_ovis_video_tower_is_wans_at_full_size_in_the_layout_of_diffusers() -> None:
    shapes = published_shapes(Size())
    ovi = Tensors(Path("ovi"), {name: torch.empty(shape, device="meta") for name, shape in shapes.items()})
    with torch.device("meta"):
        wan = wans.theirs(**wans.TI2V_5B).state_dict()
    conversion = plan(ovi, OVI, WAN_DIFFUSERS)
    assert {name: value.shape for name, value in conversion.like.items()} == {n: v.shape for n, v in wan.items()}
    fusion_or_audio = [name for name in shapes if "_fusion." in name or name.startswith("audio_model.")]
    assert sorted(conversion.left_out) == sorted(fusion_or_audio)


def test_a_part_does_not_make_the_whole() -> None:
    source = Tensors(Path("wan"), wans.ours().state_dict())
    with pytest.raises(UserError, match=r"fills network.video\) does not make ovi \(network\)"):
        plan(source, WAN_ORIGINAL, OVI)


def test_two_tensors_of_one_name_are_refused() -> None:
    state = wans.ours().state_dict()
    source = Tensors(Path("wan"), {**state, "proj_out.bias": torch.zeros(3)})
    with pytest.raises(UserError, match="two tensors that wan-diffusers calls proj_out.bias"):
        plan(source, WAN_ORIGINAL, WAN_DIFFUSERS)
