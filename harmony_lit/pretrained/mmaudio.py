"""MMAudio's autoencoder and its vocoders: original files and diffusers'.

Our names are those of ``diffusers.MMAudioVAE``'s inner ``vae`` and of ``diffusers.MMAudioVocoder``. They are the
published ones, but published weights are factored, and ours are what the convolutions use:

- ``v1-16.pth`` and ``v1-44.pth`` hold raw weights that MMAudio's code brings to unit gain after loading (EDM2, Eq. 47);
- BigVGAN, ``best_netG.pt`` and NVIDIA's ``bigvgan_generator.pt``, holds weight norm's direction and magnitude, under
  the names that either of torch's two versions of weight norm gives them, or folded.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from torch import Tensor

from harmony_lit.pretrained.layout import Layout, Shape

_EPS = 1e-4  # of EDM2's normalisation
_GAP = 1e-9  # float64; keeps a weight that no raw weight can have near one that it can
_WEIGHT = ".weight"
_FRONT_END = "mel_converter."  # diffusers stores filters and window; ours are made


# The autoencoder --------------------------------------------------------------------------------------------------


def rename_vae_diffusers(name: str) -> str | None:
    """The name in ``diffusers.MMAudioVAE`` -> ours, which is the original one."""
    return None if name.startswith(_FRONT_END) else name.removeprefix("vae.")


def restore_vae_diffusers(name: str) -> str:
    """The inverse of ``rename_vae_diffusers``."""
    return f"vae.{name}"


def to_unit_gain(name: str, published: Mapping[str, Tensor]) -> Tensor:
    """A raw weight ``w`` of n values per output channel -> ``w / sqrt(n) / (eps + |w| / sqrt(n))``; all else as it is.

    With it, a convolution gives outputs of the variance of its inputs (EDM2, arXiv 2312.02696, Eq. 47).
    """
    (raw,) = published.values()
    if not name.endswith(_WEIGHT):
        return raw
    weight, root = raw.double(), raw[0].numel() ** 0.5
    return (weight / (_EPS * root + _length(weight))).to(raw.dtype)


def from_unit_gain(name: str, weight: Tensor) -> dict[str, Tensor]:
    """The raw weight that ``to_unit_gain`` brings to ``weight``."""
    if not name.endswith(_WEIGHT):
        return {name: weight}
    gain, root = weight.double(), weight[0].numel() ** 0.5
    return {name: (gain * _EPS * root / (1 - _length(gain)).clamp_min(_GAP)).to(weight.dtype)}


# The vocoder ------------------------------------------------------------------------------------------------------

_FACTORS = {  # magnitude and direction
    "": (".weight_g", ".weight_v"),
    "-parametrized": (".parametrizations.weight.original0", ".parametrizations.weight.original1"),
}


def rename_vocoder(name: str) -> str:
    """The name in a file of BigVGAN -> ours: the two factors of a weight belong to one."""
    for suffix in (suffix for pair in _FACTORS.values() for suffix in pair):
        if name.endswith(suffix):
            return name.removesuffix(suffix) + _WEIGHT
    return name


def fold(name: str, published: Mapping[str, Tensor]) -> Tensor:
    """Weight norm undone: magnitude ``g`` and direction ``v`` -> ``g v / |v|``, the length over all axes but the first.

    A weight that is stored whole comes back as it is.
    """
    if len(published) == 1:
        (tensor,) = published.values()
        return tensor
    by_kind = {name.rpartition(".")[2]: tensor for name, tensor in published.items()}
    magnitude = by_kind["weight_g"] if "weight_g" in by_kind else by_kind["original0"]
    direction = by_kind["weight_v"] if "weight_v" in by_kind else by_kind["original1"]
    whole = direction.double()
    return (magnitude.double() * whole / _length(whole)).to(direction.dtype)


def _unfold(suffixes: tuple[str, str], name: str, weight: Tensor) -> dict[str, Tensor]:
    """The inverse of ``fold``."""
    if not name.endswith(_WEIGHT):
        return {name: weight}
    stem = name.removesuffix(_WEIGHT)
    return {stem + suffixes[0]: _length(weight.double()).to(weight.dtype), stem + suffixes[1]: weight}


def _length(weight: Tensor) -> Tensor:
    """|w| of each entry of the first axis, which keeps its place: (O, ...) -> (O, 1, ...)."""
    return weight.flatten(1).norm(dim=1).view(-1, *[1] * (weight.dim() - 1))


# The layouts ------------------------------------------------------------------------------------------------------

VAE_PART = "system.audio_codec.vae"
VOCODER_PART = "system.audio_codec.vocoder"
_LICENCE = "CC-BY-NC 4.0: not for commercial use"


def _same(name: str) -> str:
    return name


MMAUDIO_VAE = Layout(
    name="mmaudio-vae",
    publisher="MMAudio (hkchengrex)",
    licence=_LICENCE,
    part=VAE_PART,
    telltale={
        "data_mean": (1, None, 1),
        "encoder.conv_in.weight": (None, None, 3),
        "decoder.learnable_gain": (),
    },
    rename=_same,
    restore=_same,
    combine=to_unit_gain,
    split=from_unit_gain,
    models={"16 kHz (v1-16)": {"data_mean": (1, 80, 1)}, "44.1 kHz (v1-44)": {"data_mean": (1, 128, 1)}},
    stem="mmaudio_vae",
)

MMAUDIO_VAE_DIFFUSERS = Layout(
    name="mmaudio-vae-diffusers",
    publisher="MMAudio (hkchengrex), in diffusers' layout",
    licence=_LICENCE,
    part=VAE_PART,
    telltale={
        "vae.data_mean": (1, None, 1),
        "vae.encoder.conv_in.weight": (None, None, 3),
        "vae.decoder.learnable_gain": (),
    },
    rename=rename_vae_diffusers,
    restore=restore_vae_diffusers,
    models={"16 kHz": {"vae.data_mean": (1, 80, 1)}, "44.1 kHz": {"vae.data_mean": (1, 128, 1)}},
    stem="diffusion_pytorch_model",
)


def _vocoder(name: str, publisher: str, licence: str, mel_bands: int, stem: str) -> tuple[Layout, ...]:
    """The three ways in which the weights of one vocoder are stored."""
    common: dict[str, Any] = {"publisher": publisher, "licence": licence, "part": VOCODER_PART, "stem": stem}
    snake: dict[str, Shape] = {"activation_post.act.beta": (None,)}
    factored = [
        Layout(
            name=f"{name}{kind}",
            telltale={f"conv_pre{suffixes[1]}": (None, mel_bands, 7), **snake},
            rename=rename_vocoder,
            restore=_same,
            combine=fold,
            split=partial(_unfold, suffixes),
            **common,
        )
        for kind, suffixes in _FACTORS.items()
    ]
    folded = Layout(
        name=f"{name}-folded",
        telltale={"conv_pre.weight": (None, mel_bands, 7), **snake},
        rename=_same,
        restore=_same,
        **common,
    )
    return (*factored, folded)


MMAUDIO_VOCODER = _vocoder(
    "mmaudio-vocoder", "MMAudio (hkchengrex), trained by Make-An-Audio 2", _LICENCE, mel_bands=80, stem="best_netG"
)
BIGVGAN_V2 = _vocoder("bigvgan-v2", "NVIDIA", "MIT", mel_bands=128, stem="bigvgan_generator")

MMAUDIO_LAYOUTS = (MMAUDIO_VAE, MMAUDIO_VAE_DIFFUSERS, *MMAUDIO_VOCODER, *BIGVGAN_V2)
