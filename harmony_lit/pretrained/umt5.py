"""Names of umT5's encoder weights: Google's original layout, as Wan publishes it, and transformers'.

The original file is ``models_t5_umt5-xxl-enc-bf16.pth`` of ``Wan-AI/Wan2.2-TI2V-5B``; ours is what
``transformers.UMT5EncoderModel`` calls them, with the token embedding once, as ``shared``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

from harmony_lit.pretrained.layout import Layout

_BLOCK = re.compile(r"blocks\.(\d+)\.(.+)")
_OUR_BLOCK = re.compile(r"encoder\.block\.(\d+)\.layer\.(.+)")

_OUTSIDE = {
    "token_embedding.weight": "shared.weight",
    "norm.weight": "encoder.final_layer_norm.weight",
}
# The gated feed-forward is fc2(gelu(gate(x)) * fc1(x)), transformers' wo(gelu(wi_0(x)) * wi_1(x)).
_INSIDE = {
    "norm1.weight": "0.layer_norm.weight",
    "attn.q.weight": "0.SelfAttention.q.weight",
    "attn.k.weight": "0.SelfAttention.k.weight",
    "attn.v.weight": "0.SelfAttention.v.weight",
    "attn.o.weight": "0.SelfAttention.o.weight",
    "pos_embedding.embedding.weight": "0.SelfAttention.relative_attention_bias.weight",
    "norm2.weight": "1.layer_norm.weight",
    "ffn.gate.0.weight": "1.DenseReluDense.wi_0.weight",
    "ffn.fc1.weight": "1.DenseReluDense.wi_1.weight",
    "ffn.fc2.weight": "1.DenseReluDense.wo.weight",
}
_OUTSIDE_BACK = {ours: published for published, ours in _OUTSIDE.items()}
_INSIDE_BACK = {ours: published for published, ours in _INSIDE.items()}


def rename(name: str) -> str | None:
    """The name in the original file -> ours; a name that is not of the layout comes back as it is."""
    if block := _BLOCK.fullmatch(name):
        inside = _INSIDE.get(block[2])
        return f"encoder.block.{block[1]}.layer.{inside}" if inside else name
    return _OUTSIDE.get(name, name)


def restore(name: str) -> str:
    """Our name -> the name in the original file; the inverse of ``rename``."""
    if block := _OUR_BLOCK.fullmatch(name):
        inside = _INSIDE_BACK.get(block[2])
        return f"blocks.{block[1]}.{inside}" if inside else name
    return _OUTSIDE_BACK.get(name, name)


def rename_transformers(name: str) -> str | None:
    """The name in a file of transformers -> ours; None for what an encoder has no need of.

    The embedding may be stored once (``shared``), once by its other name or twice; a whole umT5 (``google/umt5-xxl``)
    brings its decoder too.
    """
    if name == "encoder.embed_tokens.weight":
        return "shared.weight"
    return None if name.startswith(("decoder.", "lm_head.")) else name


def _once(name: str, published: Mapping[str, Tensor]) -> Tensor:
    """The embedding of a file that stores it under both of its names."""
    return next(iter(published.values()))


_PART = "system.text_encoder"
_LICENCE = "Apache-2.0"

UMT5_ORIGINAL = Layout(
    name="umt5-original",
    publisher="Google, encoder as published by Wan-AI",
    licence=_LICENCE,
    part=_PART,
    telltale={
        "token_embedding.weight": (None, None),
        "blocks.0.pos_embedding.embedding.weight": (None, None),
        "blocks.0.ffn.gate.0.weight": (None, None),
        "norm.weight": (None,),
    },
    rename=rename,
    restore=restore,
    models={"umT5-XXL": {"token_embedding.weight": (256_384, 4096)}},
    stem="models_t5_umt5-xxl-enc",
)

UMT5_TRANSFORMERS = Layout(
    name="umt5-transformers",
    publisher="Google",
    licence=_LICENCE,
    part=_PART,
    telltale={
        # T5 proper has this table in its first block alone.
        "encoder.block.1.layer.0.SelfAttention.relative_attention_bias.weight": (None, None),
        "encoder.block.0.layer.1.DenseReluDense.wi_0.weight": (None, None),
        "encoder.final_layer_norm.weight": (None,),
    },
    rename=rename_transformers,
    restore=lambda name: name,
    combine=_once,
    models={"umT5-XXL": {"encoder.block.23.layer.1.DenseReluDense.wi_0.weight": (10_240, 4096)}},
)
