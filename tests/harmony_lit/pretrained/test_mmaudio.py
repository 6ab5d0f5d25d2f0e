"""MMAudio's published weights and ours: names, and values where these differ."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

from harmony_lit.pretrained.mmaudio import (
    BIGVGAN_V2,
    MMAUDIO_LAYOUTS,
    MMAUDIO_VAE,
    MMAUDIO_VAE_DIFFUSERS,
    MMAUDIO_VOCODER,
    fold,
    from_unit_gain,
    rename_vae_diffusers,
    rename_vocoder,
    restore_vae_diffusers,
    to_unit_gain,
)


def random(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


@pytest.mark.parametrize("length", [1.0, 30.0, 1e-3])
def test_unit_gain_is_edm2s_formula_channel_by_channel(length):
    raw = random(5, 7, 3) * length
    ours = to_unit_gain("conv.weight", {"conv.weight": raw})
    for channel in range(5):
        values = raw[channel].flatten().tolist()
        rms = (sum(value * value for value in values) / 21) ** 0.5
        expected = torch.tensor([value / (1e-4 + rms) / 21**0.5 for value in values]).view(7, 3)
        torch.testing.assert_close(ours[channel], expected)


@pytest.mark.parametrize("length", [1.0, 30.0, 1e-3])
def test_a_raw_weight_is_found_for_every_unit_gain_one(length):
    ours = to_unit_gain("conv.weight", {"conv.weight": random(5, 7, 3) * length})
    again = to_unit_gain("conv.weight", from_unit_gain("conv.weight", ours))
    torch.testing.assert_close(again, ours)


@pytest.mark.parametrize("name", ["data_mean", "encoder.learnable_gain"])
def test_what_is_no_weight_stays(name):
    value = random(1, 80, 1)
    assert to_unit_gain(name, {name: value}) is value
    assert from_unit_gain(name, value) == {name: value}


@pytest.mark.parametrize("conv", [nn.Conv1d, nn.ConvTranspose1d])
@pytest.mark.parametrize(
    "kinds", [("weight_g", "weight_v"), ("parametrizations.weight.original0", "parametrizations.weight.original1")]
)
def test_folding_is_torchs_own_weight_norm(conv, kinds):
    normed = weight_norm(conv(6, 4, 5))
    with torch.no_grad():
        normed.parametrizations.weight.original0.copy_(random(*normed.parametrizations.weight.original0.shape))
    parts = (normed.parametrizations.weight.original0, normed.parametrizations.weight.original1)
    published = {f"ups.0.0.{kind}": part.detach() for kind, part in zip(kinds, parts, strict=True)}
    assert {rename_vocoder(name) for name in published} == {"ups.0.0.weight"}
    torch.testing.assert_close(fold("ups.0.0.weight", published), normed.weight.detach())
    assert (
        fold("ups.0.0.weight", {name: value.to("meta") for name, value in published.items()}).shape
        == normed.weight.shape
    )


@pytest.mark.parametrize("layout", [*MMAUDIO_VOCODER, *BIGVGAN_V2], ids=lambda layout: layout.name)
def test_vocoder_weights_survive_the_way_out_and_back(layout):
    weights = {
        "conv_pre.weight": random(4, 6, 7),
        "conv_post.bias": random(1),
        "resblocks.0.activations.1.act.beta": random(3),
    }
    for name, value in weights.items():
        published = layout.to_published(name, value)
        assert {layout.rename(key) for key in published} == {name}
        torch.testing.assert_close(layout.to_ours(name, published), value)


def test_diffusers_autoencoder_has_ours_within_and_a_front_end_that_is_not_needed():
    assert rename_vae_diffusers("vae.encoder.conv_in.weight") == "encoder.conv_in.weight"
    assert rename_vae_diffusers("mel_converter.mel_basis") is None
    assert restore_vae_diffusers("data_std") == "vae.data_std"


@pytest.mark.parametrize(
    ("shapes", "name", "model"),
    [
        (
            {"data_mean": (1, 80, 1), "encoder.conv_in.weight": (384, 80, 3), "decoder.learnable_gain": ()},
            "mmaudio-vae",
            "16 kHz (v1-16)",
        ),
        (
            {
                "vae.data_mean": (1, 128, 1),
                "vae.encoder.conv_in.weight": (512, 128, 3),
                "vae.decoder.learnable_gain": (),
            },
            "mmaudio-vae-diffusers",
            "44.1 kHz",
        ),
        ({"conv_pre.weight_v": (1536, 80, 7), "activation_post.act.beta": (24,)}, "mmaudio-vocoder", None),
        ({"conv_pre.weight": (1536, 80, 7), "activation_post.act.beta": (24,)}, "mmaudio-vocoder-folded", None),
        (
            {"conv_pre.parametrizations.weight.original1": (1536, 128, 7), "activation_post.act.beta": (24,)},
            "bigvgan-v2-parametrized",
            None,
        ),
    ],
)
def test_one_layout_matches(shapes, name, model):
    sizes = {key: torch.Size(shape) for key, shape in shapes.items()}
    (found,) = [layout for layout in MMAUDIO_LAYOUTS if layout.matches(sizes)]
    assert (found.name, found.model(sizes)) == (name, model)


def test_licences():
    for layout in (MMAUDIO_VAE, MMAUDIO_VAE_DIFFUSERS, *MMAUDIO_VOCODER):
        assert "CC-BY-NC 4.0" in (layout.licence or "")
    assert all(layout.licence == "MIT" for layout in BIGVGAN_V2)
