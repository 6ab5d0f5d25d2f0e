"""Wan2.2's video autoencoder, as Wan-AI publishes it and as diffusers does.

The original is ``Wan2.2_VAE.pth`` of ``Wan-AI/Wan2.2-TI2V-5B``. Our names are those of ``diffusers.AutoencoderKLWan``;
shapes and values are the same in both. Wan2.1's autoencoder has other blocks and is not in these layouts.
"""

from __future__ import annotations

from collections.abc import Iterator

from harmony_lit.pretrained.layout import Layout

_BLOCKS = 4
# Side, its blocks and its resampler as Wan-AI names them and as diffusers does, residual layers in a block.
_SIDES = (
    ("encoder", "downsamples", "down_blocks", "downsampler", 2),
    ("decoder", "upsamples", "up_blocks", "upsampler", 3),
)
_RESIDUAL = {
    "residual.0": "norm1",
    "residual.2": "conv1",
    "residual.3": "norm2",
    "residual.6": "conv2",
    "shortcut": "conv_shortcut",
}


def _stems() -> Iterator[tuple[str, str]]:
    """Every published stem with ours; a stem stands for its weight, bias or gamma."""
    yield from (("conv1", "quant_conv"), ("conv2", "post_quant_conv"))
    for side, theirs, ours, sampler, layers in _SIDES:
        yield f"{side}.conv1", f"{side}.conv_in"
        residuals = [(f"{side}.middle.{2 * i}", f"{side}.mid_block.resnets.{i}") for i in range(2)]
        for part in ("norm", "to_qkv", "proj"):
            yield f"{side}.middle.1.{part}", f"{side}.mid_block.attentions.0.{part}"
        for block in range(_BLOCKS):
            theirs_in, ours_in = f"{side}.{theirs}.{block}.{theirs}", f"{side}.{ours}.{block}"
            residuals += [(f"{theirs_in}.{i}", f"{ours_in}.resnets.{i}") for i in range(layers)]
            for part in ("resample.1", "time_conv"):  # behind the last residual layer; the last block has none
                yield f"{theirs_in}.{layers}.{part}", f"{ours_in}.{sampler}.{part}"
        for theirs_at, ours_at in residuals:
            for part, name in _RESIDUAL.items():
                yield f"{theirs_at}.{part}", f"{ours_at}.{name}"
        yield f"{side}.head.0", f"{side}.norm_out"
        yield f"{side}.head.2", f"{side}.conv_out"


_OURS = dict(_stems())
_PUBLISHED = {ours: published for published, ours in _OURS.items()}


def rename(name: str) -> str:
    """The name in ``Wan2.2_VAE.pth`` -> that of ``diffusers.AutoencoderKLWan``; an unknown one comes back as it is."""
    stem, _, kind = name.rpartition(".")
    return f"{_OURS[stem]}.{kind}" if stem in _OURS else name


def restore(name: str) -> str:
    """The inverse of ``rename``."""
    stem, _, kind = name.rpartition(".")
    return f"{_PUBLISHED[stem]}.{kind}" if stem in _PUBLISHED else name


def _same(name: str) -> str:
    return name


PART = "system.video_codec"
_PUBLISHER = "Wan-AI (Alibaba)"
_LICENCE = "Apache-2.0"
_GAMMA = (None, 1, 1, 1)

WAN_VAE_ORIGINAL = Layout(
    name="wan-vae-original",
    publisher=_PUBLISHER,
    licence=_LICENCE,
    part=PART,
    telltale={
        "conv1.weight": (None, None, 1, 1, 1),
        "encoder.downsamples.0.downsamples.0.residual.0.gamma": _GAMMA,
        "decoder.upsamples.0.upsamples.0.residual.0.gamma": _GAMMA,
    },
    rename=rename,
    restore=restore,
    models={"Wan2.2 VAE": {"conv2.weight": (48, 48, 1, 1, 1), "encoder.conv1.weight": (160, 12, 3, 3, 3)}},
    stem="Wan2.2_VAE",
)

WAN_VAE_DIFFUSERS = Layout(
    name="wan-vae-diffusers",
    publisher=_PUBLISHER,
    licence=_LICENCE,
    part=PART,
    telltale={
        "quant_conv.weight": (None, None, 1, 1, 1),
        "encoder.down_blocks.0.resnets.0.norm1.gamma": _GAMMA,
        "decoder.up_blocks.0.resnets.0.norm1.gamma": _GAMMA,
    },
    rename=_same,
    restore=_same,
    models={"Wan2.2 VAE": {"post_quant_conv.weight": (48, 48, 1, 1, 1), "encoder.conv_in.weight": (160, 12, 3, 3, 3)}},
    stem="diffusion_pytorch_model",
)
