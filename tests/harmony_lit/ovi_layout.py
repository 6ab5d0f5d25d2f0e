"""Ovi's checkpoint as published, by table, and the model that it fills; tests import it as ``ovi_layout``."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch

from harmony_lit.geometry import Geometry
from harmony_lit.model import (
    AudioTower,
    ConvProjection,
    CrossBlock,
    DualBranchDiT,
    ModelDims,
    VideoTimePositions,
    VideoTower,
)
from harmony_lit.model.interaction import OviFusion

VIDEO_CHANNELS, AUDIO_CHANNELS = 48, 20


@dataclass(frozen=True)
class Size:
    """Ovi's own size by default. Widths of the gated convolution are multiples of 256 at every size."""

    width: int = 3072
    ffn: int = 14_336
    heads: int = 24
    depth: int = 30
    caption: int = 4096
    freq: int = 256
    hidden: int = 8192
    text_len: int = 512


SMALL = Size(width=48, ffn=64, heads=2, depth=2, caption=10, freq=16, hidden=256, text_len=7)

# Name after the tower's prefix -> shape in the letters of ``sizes``; every tower.
TOWER = {
    "text_embedding.0.weight": "D C", "text_embedding.0.bias": "D",
    "text_embedding.2.weight": "D D", "text_embedding.2.bias": "D",
    "time_embedding.0.weight": "D Q", "time_embedding.0.bias": "D",
    "time_embedding.2.weight": "D D", "time_embedding.2.bias": "D",
    "time_projection.1.weight": "6D D", "time_projection.1.bias": "6D",
    "head.modulation": "1 2 D",
}  # fmt: skip
VIDEO = {
    "patch_embedding.weight": "D 48 1 2 2", "patch_embedding.bias": "D",
    "head.head.weight": "192 D", "head.head.bias": "192",
}  # fmt: skip
AUDIO = {
    "patch_embedding.0.weight": "D 20 7", "patch_embedding.0.bias": "D",
    "patch_embedding.2.w1.weight": "H D 7", "patch_embedding.2.w3.weight": "H D 7",
    "patch_embedding.2.w2.weight": "D H 7",
    "head.head.weight": "20 D", "head.head.bias": "20",
}  # fmt: skip
ATTENTION = {
    "q.weight": "D D", "q.bias": "D", "k.weight": "D D", "k.bias": "D", "v.weight": "D D", "v.bias": "D",
    "o.weight": "D D", "o.bias": "D", "norm_q.weight": "D", "norm_k.weight": "D",
}  # fmt: skip
FUSION = {
    "k_fusion.weight": "D D", "k_fusion.bias": "D", "v_fusion.weight": "D D", "v_fusion.bias": "D",
    "pre_attn_norm_fusion.weight": "D", "pre_attn_norm_fusion.bias": "D", "norm_k_fusion.weight": "D",
}  # fmt: skip
BLOCK = {
    "modulation.modulation": "1 6 D",
    "norm3.weight": "D", "norm3.bias": "D",
    "ffn.0.weight": "F D", "ffn.0.bias": "F", "ffn.2.weight": "D F", "ffn.2.bias": "D",
    **{f"self_attn.{name}": shape for name, shape in ATTENTION.items()},
    **{f"cross_attn.{name}": shape for name, shape in (ATTENTION | FUSION).items()},
}  # fmt: skip


def published_shapes(size: Size) -> dict[str, tuple[int, ...]]:
    """Every tensor of ``model.safetensors``."""
    letters = {"D": size.width, "6D": 6 * size.width, "F": size.ffn, "C": size.caption, "Q": size.freq}
    letters["H"] = size.hidden
    shapes = {}
    for prefix, own in (("video_model.", VIDEO), ("audio_model.", AUDIO)):
        names = {prefix + name: shape for name, shape in (TOWER | own).items()}
        for layer in range(size.depth):
            names |= {f"{prefix}blocks.{layer}.{name}": shape for name, shape in BLOCK.items()}
        shapes |= {n: tuple(letters.get(s) or int(s) for s in shape.split()) for n, shape in names.items()}
    return shapes


def published_weights(size: Size) -> dict[str, torch.Tensor]:
    """Random weights that keep activations near one, nothing zero."""
    generator = torch.Generator().manual_seed(7)
    weights = {}
    for name, shape in published_shapes(size).items():
        x = torch.randn(shape, generator=generator)
        if "norm" in name and name.endswith("weight"):
            weights[name] = 1 + 0.2 * x
        elif len(shape) > 1 and "modulation" not in name:
            weights[name] = x / torch.tensor(shape[1:]).prod().sqrt()
        else:
            weights[name] = 0.3 * x
    return weights


def ovi_model(size: Size, audio_parts: dict | None = None, **parts) -> DualBranchDiT:
    """The baseline; ``parts`` replace the model's, ``audio_parts`` those of its audio tower."""
    common = {"width": size.width, "heads": size.heads, "ffn_width": size.ffn, "freq_dim": size.freq}
    ovis_audio = {
        "text_len": size.text_len,
        "block": CrossBlock,
        "projection": ConvProjection,
        "positions": VideoTimePositions,
        "transcript": None,
        "null_reference": 0,
    }
    return DualBranchDiT(
        ModelDims(VIDEO_CHANNELS, AUDIO_CHANNELS, size.caption, vocab_size=20, geometry=Geometry(fps=24.0)),
        depth=size.depth,
        interaction_heads=size.heads,
        video=partial(VideoTower, **common, text_len=size.text_len),
        audio=partial(AudioTower, **common | ovis_audio | (audio_parts or {})),
        **{"interaction": OviFusion, "style": None} | parts,
    )
