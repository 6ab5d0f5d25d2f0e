"""Wan's video transformer, as Wan-AI publishes it and as diffusers does.

Our video tower has the names of Wan-AI's own code, so that layout renames nothing. The order of the values is the same
in both, down to that of the patch values in the head.
"""

from __future__ import annotations

import re
from typing import Any

from torch import nn

from harmony_lit.model.video import VideoTower
from harmony_lit.pretrained.layout import Layout

PREFIXES = ("", "model.", "model.diffusion_model.")
"""What stands before the names in files of the community."""

_ATTENTION = {"q": "to_q", "k": "to_k", "v": "to_v", "o": "to_out.0", "norm_q": "norm_q", "norm_k": "norm_k"}
# Our stem to that of diffusers; ``blocks.*`` stands for every block, a stem for its weight and its bias.
_STEMS = {
    "patch_embedding": "patch_embedding",
    "text_embedding.0": "condition_embedder.text_embedder.linear_1",
    "text_embedding.2": "condition_embedder.text_embedder.linear_2",
    "time_embedding.0": "condition_embedder.time_embedder.linear_1",
    "time_embedding.2": "condition_embedder.time_embedder.linear_2",
    "time_projection.1": "condition_embedder.time_proj",
    "head.head": "proj_out",
    "head.modulation": "scale_shift_table",
    "blocks.*.modulation": "blocks.*.scale_shift_table",
    "blocks.*.norm3": "blocks.*.norm2",  # diffusers numbers the norms in their order, Wan-AI does not
    "blocks.*.ffn.0": "blocks.*.ffn.net.0.proj",
    "blocks.*.ffn.2": "blocks.*.ffn.net.2",
    **{
        f"blocks.*.{ours}.{own}": f"blocks.*.{theirs}.{other}"
        for ours, theirs in (("self_attn", "attn1"), ("cross_attn", "attn2"))
        for own, other in _ATTENTION.items()
    },
}
_OUR_STEMS = {theirs: ours for ours, theirs in _STEMS.items()}
_NAME = re.compile(r"(?P<block>blocks\.(?P<number>\d+)\.)?(?P<stem>.+?)(?P<kind>\.weight|\.bias)?")


def to_diffusers(name: str) -> str:
    """Our name to that of ``diffusers.WanTransformer3DModel``."""
    return _translate(name, _STEMS)


def from_diffusers(name: str) -> str:
    """The name in ``diffusers.WanTransformer3DModel`` to ours."""
    return _translate(name, _OUR_STEMS)


def _same(name: str) -> str:
    return name


def _translate(name: str, stems: dict[str, str]) -> str:
    """``name`` with its stem exchanged; as it is if the stem is not known."""
    parts = _NAME.fullmatch(name)
    if parts is None:
        return name
    stem = ("blocks.*." if parts["block"] else "") + parts["stem"]
    if stem not in stems:
        return name
    return stems[stem].replace("*", parts["number"] or "", 1) + (parts["kind"] or "")


def _diffusers_config(tower: nn.Module) -> dict[str, Any]:
    """Arguments of ``diffusers.WanTransformer3DModel``."""
    assert isinstance(tower, VideoTower)
    return {
        "_class_name": "WanTransformer3DModel",
        "patch_size": list(tower.dims.patch),
        "num_attention_heads": tower.heads,
        "attention_head_dim": tower.width // tower.heads,
        "in_channels": tower.dims.channels,
        "out_channels": tower.dims.channels,
        "text_dim": tower.dims.caption_dim,
        "freq_dim": tower.freq_dim,
        "ffn_dim": _ffn_width(tower),
        "num_layers": tower.dims.depth,
        "cross_attn_norm": True,
        "qk_norm": "rms_norm_across_heads",
        "eps": 1e-6,
    }


def _original_config(tower: nn.Module) -> dict[str, Any]:
    """Arguments of Wan-AI's ``WanModel``."""
    assert isinstance(tower, VideoTower)
    return {
        "_class_name": "WanModel",
        "model_type": "ti2v",
        "text_len": 512,
        "in_dim": tower.dims.channels,
        "dim": tower.width,
        "ffn_dim": _ffn_width(tower),
        "freq_dim": tower.freq_dim,
        "out_dim": tower.dims.channels,
        "num_heads": tower.heads,
        "num_layers": tower.dims.depth,
        "eps": 1e-6,
    }


def _ffn_width(tower: VideoTower) -> int:
    return int(tower.get_parameter("blocks.0.ffn.0.weight").shape[0])


_PUBLISHER = "Wan-AI (Alibaba)"
_LICENCE = "Apache-2.0"
_TI2V_5B = "Wan2.2-TI2V-5B"
_TI2V_5B_PATCH = {"patch_embedding.weight": (3072, 48, 1, 2, 2)}

WAN_ORIGINAL = Layout(
    name="wan-original",
    publisher=_PUBLISHER,
    licence=_LICENCE,
    part="network.video",
    telltale={
        "patch_embedding.weight": (None,) * 5,
        "text_embedding.0.weight": (None, None),
        "blocks.0.self_attn.q.weight": (None, None),
        "blocks.0.modulation": (1, 6, None),
        "head.modulation": (1, 2, None),
    },
    rename=_same,
    restore=_same,
    prefixes=PREFIXES,
    models={_TI2V_5B: _TI2V_5B_PATCH},
    stem="diffusion_pytorch_model",
    config=_original_config,
)

WAN_DIFFUSERS = Layout(
    name="wan-diffusers",
    publisher=_PUBLISHER,
    licence=_LICENCE,
    part="network.video",
    telltale={
        "patch_embedding.weight": (None,) * 5,
        "condition_embedder.text_embedder.linear_1.weight": (None, None),
        "blocks.0.attn1.to_q.weight": (None, None),
        "blocks.0.scale_shift_table": (1, 6, None),
        "scale_shift_table": (1, 2, None),
    },
    rename=from_diffusers,
    restore=to_diffusers,
    prefixes=PREFIXES,
    models={f"{_TI2V_5B}-Diffusers": _TI2V_5B_PATCH},
    stem="diffusion_pytorch_model",
    config=_diffusers_config,
)
