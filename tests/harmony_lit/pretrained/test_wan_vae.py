"""Names of Wan2.2's autoencoder: published, ours and back."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
import torch

from harmony_lit.codecs.wan_vae import WanVideoCodec
from harmony_lit.pretrained.wan_vae import WAN_VAE_DIFFUSERS, WAN_VAE_ORIGINAL, rename, restore


def residual(at: str, shortcut: bool) -> Iterator[str]:
    yield f"{at}.residual.0.gamma"
    yield from (f"{at}.residual.2.weight", f"{at}.residual.2.bias", f"{at}.residual.3.gamma")
    yield from (f"{at}.residual.6.weight", f"{at}.residual.6.bias")
    if shortcut:
        yield from (f"{at}.shortcut.weight", f"{at}.shortcut.bias")


def middle(side: str) -> Iterator[str]:
    yield from residual(f"{side}.middle.0", shortcut=False)
    yield f"{side}.middle.1.norm.gamma"
    yield from (f"{side}.middle.1.{part}.{kind}" for part in ("to_qkv", "proj") for kind in ("weight", "bias"))
    yield from residual(f"{side}.middle.2", shortcut=False)


def levels(side: str, name: str, widths: list[int], layers: int, in_time: list[bool]) -> Iterator[str]:
    for level, (before, after) in enumerate(itertools.pairwise(widths)):
        at = f"{side}.{name}.{level}.{name}"
        for layer in range(layers):
            yield from residual(f"{at}.{layer}", shortcut=layer == 0 and before != after)
        if level < 3:
            yield from (f"{at}.{layers}.resample.1.weight", f"{at}.{layers}.resample.1.bias")
            if in_time[level]:
                yield from (f"{at}.{layers}.time_conv.weight", f"{at}.{layers}.time_conv.bias")


def published_names() -> list[str]:
    """The keys of ``Wan2.2_VAE.pth`` in their order, read off ``wan/modules/vae2_2.py``."""

    def conv(name: str) -> list[str]:
        return [f"{name}.weight", f"{name}.bias"]

    names = conv("encoder.conv1")
    names += levels("encoder", "downsamples", [1, 1, 2, 4, 4], 2, [False, True, True])
    names += [*middle("encoder"), "encoder.head.0.gamma", *conv("encoder.head.2"), *conv("conv1"), *conv("conv2")]
    names += [*conv("decoder.conv1"), *middle("decoder")]
    names += levels("decoder", "upsamples", [4, 4, 4, 2, 1], 3, [True, True, False])
    return [*names, "decoder.head.0.gamma", *conv("decoder.head.2")]


def diffusers_names() -> list[str]:
    """The keys of ``AutoencoderKLWan`` at full size, in the published order: attention lies between two layers."""
    with torch.device("meta"):
        names = list(WanVideoCodec("random").new_network().state_dict())

    def place(item: tuple[int, str]) -> tuple[float, int]:
        index, name = item
        if ".mid_block." not in name:
            return index, 0
        first = next(i for i, other in enumerate(names) if other.startswith(name.partition("mid_block.")[0] + "mid_"))
        return first + 0.5, 0 if ".resnets.0." in name else 1 if ".attentions." in name else 2

    return [name for _, name in sorted(enumerate(names), key=place)]


def test_every_published_name_becomes_that_of_diffusers_and_comes_back():
    published, ours = published_names(), diffusers_names()
    assert len(set(published)) == len(published) == len(ours)
    assert [rename(name) for name in published] == ours
    assert [restore(name) for name in ours] == published


@pytest.mark.parametrize(
    ("published", "ours"),
    [
        ("conv2.bias", "post_quant_conv.bias"),
        ("encoder.downsamples.2.downsamples.2.time_conv.weight", "encoder.down_blocks.2.downsampler.time_conv.weight"),
        ("encoder.middle.1.to_qkv.bias", "encoder.mid_block.attentions.0.to_qkv.bias"),
        ("decoder.middle.2.residual.6.weight", "decoder.mid_block.resnets.1.conv2.weight"),
        ("decoder.upsamples.0.upsamples.3.resample.1.bias", "decoder.up_blocks.0.upsampler.resample.1.bias"),
        ("decoder.upsamples.3.upsamples.0.shortcut.weight", "decoder.up_blocks.3.resnets.0.conv_shortcut.weight"),
        ("decoder.head.0.gamma", "decoder.norm_out.gamma"),
    ],
)
def test_names(published, ours):
    assert rename(published) == ours
    assert restore(ours) == published


def test_unknown_names_stay_so_that_they_are_told():
    assert (
        rename("decoder.upsamples.4.upsamples.0.residual.0.gamma") == "decoder.upsamples.4.upsamples.0.residual.0.gamma"
    )


def test_layouts_are_told_apart_and_the_published_size_is_known():
    with torch.device("meta"):
        ours = {name: value.shape for name, value in WanVideoCodec("random").new_network().state_dict().items()}
    published = {restore(name): shape for name, shape in ours.items()}
    assert WAN_VAE_DIFFUSERS.matches(ours) and not WAN_VAE_DIFFUSERS.matches(published)
    assert WAN_VAE_ORIGINAL.matches(published) and not WAN_VAE_ORIGINAL.matches(ours)
    assert WAN_VAE_ORIGINAL.model(published) == WAN_VAE_DIFFUSERS.model(ours) == "Wan2.2 VAE"
