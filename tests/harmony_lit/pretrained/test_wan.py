"""Wan's two layouts: name for name at full size, bit for bit at a small one."""

from pathlib import Path

import pytest
import safetensors.torch
import torch

from harmony_lit.experiment.weights import published_piece
from harmony_lit.pretrained import describe, detect, load_pretrained, open_weights
from harmony_lit.pretrained.convert import plan, write
from harmony_lit.pretrained.source import Tensors
from harmony_lit.pretrained.wan import PREFIXES, WAN_DIFFUSERS, WAN_ORIGINAL, from_diffusers, to_diffusers
from tests.harmony_lit.pretrained import wans


def test_every_name_and_shape_of_the_published_size_maps_one_to_one() -> None:
    with torch.device("meta"):
        theirs, ours = wans.theirs(**wans.TI2V_5B).state_dict(), wans.ours(**wans.TI2V_5B).state_dict()
    assert {from_diffusers(name): value.shape for name, value in theirs.items()} == {
        name: value.shape for name, value in ours.items()
    }
    assert {to_diffusers(name): value.shape for name, value in ours.items()} == {
        name: value.shape for name, value in theirs.items()
    }
    shapes = {name: value.shape for name, value in theirs.items()}
    assert WAN_DIFFUSERS.model(shapes) == "Wan2.2-TI2V-5B-Diffusers"
    assert WAN_ORIGINAL.model({name: value.shape for name, value in ours.items()}) == "Wan2.2-TI2V-5B"


def test_the_parameters_of_the_published_size_are_counted_part_by_part() -> None:
    with torch.device("meta"):
        theirs = wans.theirs(**wans.TI2V_5B)
    source = Tensors(Path("wan"), theirs.state_dict())
    d, f = 3072, 14_336
    attention = 4 * (d * d + d) + 2 * d
    block = 2 * attention + 2 * d + (d * f + f + f * d + d) + 6 * d
    text, time = (4096 * d + d) + (d * d + d), (256 * d + d) + (d * d + d)
    outside = (48 * 4 * d + d) + text + time + (6 * d * d + 6 * d) + (192 * d + 192) + 2 * d
    assert sum(value.numel() for value in theirs.parameters()) == 30 * block + outside == 4_999_787_712
    said = "\n".join(describe.facts(source, detect(source)))
    assert "wan-diffusers, the shapes of Wan2.2-TI2V-5B-Diffusers" in said
    assert "5.00 B" in said
    assert "float32 (825)" in said
    lines = describe.places(published_piece(source))
    (gates,) = (line for line in lines if "blocks.*.scale_shift_table" in line)
    assert "30 tensors    552,960 parameters" in gates
    assert gates.endswith("-> network.video.blocks.*.modulation")


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("text_embedding.2.bias", "condition_embedder.text_embedder.linear_2.bias"),
        ("time_projection.1.weight", "condition_embedder.time_proj.weight"),
        ("head.modulation", "scale_shift_table"),
        ("head.head.weight", "proj_out.weight"),
        ("blocks.12.modulation", "blocks.12.scale_shift_table"),
        ("blocks.12.norm3.weight", "blocks.12.norm2.weight"),
        ("blocks.3.cross_attn.norm_k.weight", "blocks.3.attn2.norm_k.weight"),
        ("blocks.0.self_attn.o.bias", "blocks.0.attn1.to_out.0.bias"),
        ("blocks.29.ffn.0.weight", "blocks.29.ffn.net.0.proj.weight"),
        ("nobody.knows.this", "nobody.knows.this"),
    ],
)
def test_names(ours: str, theirs: str) -> None:
    assert to_diffusers(ours) == theirs
    assert from_diffusers(theirs) == ours


@pytest.mark.parametrize("shard", ["5GB", "30KB"])
def test_what_diffusers_saves_loads_and_goes_back_bit_for_bit(tmp_path: Path, shard: str) -> None:
    theirs, tower = wans.theirs(), wans.ours()
    theirs.save_pretrained(tmp_path / "published", max_shard_size=shard)
    source = open_weights(tmp_path / "published")
    assert (len(source.files) > 1) == (shard == "30KB")
    load_pretrained(tower, source)
    for name, value in theirs.state_dict().items():
        assert torch.equal(tower.state_dict()[from_diffusers(name)], value)

    original = tmp_path / "original.safetensors"
    safetensors.torch.save_file(tower.state_dict(), original)
    write(plan(open_weights(original), WAN_ORIGINAL, WAN_DIFFUSERS), tmp_path / "back", max_shard_bytes=30_000)
    written = open_weights(tmp_path / "back")
    assert len(written.files) > 1
    assert written.shapes.keys() == theirs.state_dict().keys()
    shards = [safetensors.torch.load_file(file) for file in written.files]  # as the library reads them
    back = {name: value for shard in shards for name, value in shard.items()}
    assert all(torch.equal(back[name], value) for name, value in theirs.state_dict().items())


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_the_original_layout_round_trips_under_every_prefix(tmp_path: Path, prefix: str, suffix: str) -> None:
    tower, other = wans.ours(), wans.ours(depth=2)
    with torch.no_grad():
        for value in other.parameters():
            value.zero_()
    state = {prefix + name: value for name, value in tower.state_dict().items()}
    path = (tmp_path / "wan").with_suffix(suffix)
    if suffix == ".pth":
        torch.save({"state_dict": state, "step": 3}, path)
    else:
        safetensors.torch.save_file(state, path)
    source = open_weights(path)
    layout = detect(source)
    assert layout.name == "wan-original"
    load_pretrained(other, source, layout)
    assert wans.same(other, tower)
    assert {layout.restore(name) for name in other.state_dict()} == state.keys()


def test_numbers_of_both_implementations_agree_after_loading(tmp_path: Path) -> None:
    from harmony_lit.containers import TextEmbeds, VideoLatents

    theirs, tower = wans.theirs().eval(), wans.ours().eval()
    theirs.save_pretrained(tmp_path)
    load_pretrained(tower, open_weights(tmp_path))
    latents, text, t = torch.randn(1, 4, 3, 4, 6), torch.randn(1, 5, 10), torch.tensor([[0.0, 0.7, 0.7]])
    with torch.no_grad():
        per_token = (t * 1000).repeat_interleave(6, dim=1)
        expected = theirs(latents, per_token, text).sample
        caption = TextEmbeds(text, torch.ones(1, 5, dtype=torch.bool))
        x, state = tower.embed(VideoLatents(latents, torch.tensor([3])), t, caption)
        for block in tower.layers:
            x = block.feed_forward(block.cross_attend(block.self_attend(x, state), state), state)
        found = tower.unembed(x, state)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
