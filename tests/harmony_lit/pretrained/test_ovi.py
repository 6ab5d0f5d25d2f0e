"""Ovi's names against a table of the published checkpoint."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.torch
import torch
import yaml
from jsonargparse import ArgumentParser

from harmony_lit.errors import UserError
from harmony_lit.experiment.merge import merge
from harmony_lit.geometry import Geometry
from harmony_lit.model import DualBranchDiT, ModelDims
from harmony_lit.pretrained import detect, load_pretrained, open_weights
from harmony_lit.pretrained.ovi import OVI, rename, restore
from tests.harmony_lit.ovi_layout import SMALL, Size, ovi_model, published_shapes, published_weights


@pytest.mark.parametrize("size", [SMALL, Size()], ids=["small", "full-size"])
def test_every_published_tensor_has_its_place_and_every_parameter_its_tensor(size):
    with torch.device("meta"):
        model = ovi_model(size)
    published = published_shapes(size)
    ours = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    assert {rename(name): shape for name, shape in published.items()} == ours
    assert {restore(name): shape for name, shape in ours.items()} == published
    print(f"{sum(tensor.numel() for tensor in model.parameters()):,} parameters")


@pytest.mark.parametrize(
    ("published", "ours"),
    [
        ("video_model.blocks.3.modulation.modulation", "video.blocks.3.modulation"),
        ("audio_model.head.modulation", "audio.head.modulation"),
        ("audio_model.patch_embedding.2.w3.weight", "audio.patch_embedding.2.w3.weight"),
        ("video_model.blocks.29.cross_attn.k.bias", "video.blocks.29.cross_attn.k.bias"),
        ("video_model.blocks.29.cross_attn.k_fusion.bias", "interaction.layers.29.audio_to_video.k.bias"),
        ("audio_model.blocks.0.cross_attn.v_fusion.weight", "interaction.layers.0.video_to_audio.v.weight"),
        ("audio_model.blocks.0.cross_attn.norm_k_fusion.weight", "interaction.layers.0.video_to_audio.norm_k.weight"),
        ("video_model.blocks.1.cross_attn.pre_attn_norm_fusion.bias", "interaction.layers.1.audio_to_video.norm.bias"),
    ],
)
def test_names_are_mapped_both_ways(published, ours):
    assert rename(published) == ours
    assert restore(ours) == published


def test_foreign_names_come_back_and_what_ovi_lacks_is_refused():
    assert rename("model.diffusion_model.blocks.0.ffn.0.bias") == "model.diffusion_model.blocks.0.ffn.0.bias"
    for name in ("audio.transcript_embedding.weight", "audio.null_reference", "style.layers.0.norm.weight"):
        with pytest.raises(UserError, match=f"{name} has no place in an Ovi checkpoint"):
            restore(name)


def saved(folder, weights):
    path = folder / "model.safetensors"
    safetensors.torch.save_file(weights, path)
    return open_weights(str(path))


def test_a_checkpoint_is_known_and_fills_a_model_without_values(tmp_path, capsys):
    weights = published_weights(SMALL)
    source = saved(tmp_path, weights)
    assert detect(source).name == "ovi"
    with torch.device("meta"):
        model = ovi_model(SMALL)
    assert load_pretrained(model, source) == []
    state = model.state_dict()
    assert all(torch.equal(state[rename(name)], tensor) for name, tensor in weights.items())
    assert "weights by Character.AI, licence Apache-2.0" in capsys.readouterr().err


def test_a_checkpoint_that_lacks_a_tensor_or_has_a_foreign_one_is_refused(tmp_path):
    weights = published_weights(SMALL)
    weights["w2"] = weights.pop("audio_model.patch_embedding.2.w2.weight")
    with pytest.raises(UserError, match=r"1 missing \(audio.patch_embedding.2.w2.weight\); 1 unexpected \(w2\)"):
        load_pretrained(ovi_model(SMALL), saved(tmp_path, weights), OVI)


def built(network):
    """What an experiment's ``network`` builds, on the meta device."""
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--network", type=Callable[[ModelDims], DualBranchDiT])
    made = parser.instantiate(parser.parse_object({"network": network})).network
    with torch.device("meta"):
        model = made(ModelDims(48, 20, 4096, vocab_size=60, geometry=Geometry(fps=24.0)))
    return {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}


def test_the_settings_told_in_the_docs_build_ovi_and_harmony_on_its_towers():
    page = (Path(__file__).parents[3] / "docs" / "ovi.md").read_text()
    baseline, audio_and_between, stages = map(yaml.safe_load, re.findall(r"```yaml\n(.*?)```", page, re.DOTALL))
    ovi = {rename(name): shape for name, shape in published_shapes(Size()).items()}
    assert built(baseline["network"]) == ovi
    harmony = built(merge(baseline["network"], {"init_args": audio_and_between}))
    start = stages["stages"]["joint"]["start_from"]
    assert all("ovi" in given["path"] for given in start["pretrained"])
    given = {
        name: s
        for name, s in ovi.items()
        if f"network.{name}".startswith(tuple(p["part"] for p in start["pretrained"]))
    }
    assert given.items() <= harmony.items()
    for name in harmony.keys() - given.keys():
        assert any(fnmatch.fnmatchcase(f"network.{name}", pattern) for pattern in start["may_be_missing"]), name
