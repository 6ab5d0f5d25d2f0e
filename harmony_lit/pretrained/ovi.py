"""Ovi's checkpoints (``chetwinlow1/Ovi``, Apache-2.0) as a ``DualBranchDiT`` with ``OviFusion``.

All three files (``model.safetensors`` for 720x720 and 5 s, ``model_960x960.safetensors``,
``model_960x960_10s.safetensors``) hold twin Wan towers under ``video_model.`` and ``audio_model.``. Two things differ
from Wan's names: a block's modulation is wrapped once more (``blocks.N.modulation.modulation``), and the fusion's parts
lie in the block's ``cross_attn``, where ours are the interaction's. A model with another interaction takes the parts
``network.video`` and ``network.audio``, and leaves the fusion.
"""

from __future__ import annotations

import re

from harmony_lit.errors import UserError
from harmony_lit.pretrained.layout import Layout

_TOWERS = {"video_model": "video", "audio_model": "audio"}
_DIRECTIONS = {"video_model": "audio_to_video", "audio_model": "video_to_audio"}
_FUSION = {"k_fusion": "k", "v_fusion": "v", "norm_k_fusion": "norm_k", "pre_attn_norm_fusion": "norm"}

_TOWER_NAME = re.compile(r"(video_model|audio_model)\.(.+)")
_FUSION_NAME = re.compile(rf"(video_model|audio_model)\.blocks\.(\d+)\.cross_attn\.({'|'.join(_FUSION)})\.(\w+)")
_MODULATION = re.compile(r"(blocks\.\d+\.modulation)\.modulation")

_OUR_TOWER_NAME = re.compile(r"(video|audio)\.(.+)")
_OUR_FUSION_NAME = re.compile(
    rf"interaction\.layers\.(\d+)\.(audio_to_video|video_to_audio)\.({'|'.join(_FUSION.values())})\.(\w+)"
)
_OUR_MODULATION = re.compile(r"blocks\.\d+\.modulation")
_NOT_OVIS = re.compile(r"audio\.(transcript|null_reference)")


def rename(key: str) -> str:
    """Ovi's name to ours; what is not Ovi's comes back as it is."""
    if match := _FUSION_NAME.fullmatch(key):
        tower, layer, part, leaf = match.groups()
        return f"interaction.layers.{layer}.{_DIRECTIONS[tower]}.{_FUSION[part]}.{leaf}"
    if match := _TOWER_NAME.fullmatch(key):
        tower, rest = match[1], _MODULATION.sub(r"\1", match[2])
        return f"{_TOWERS[tower]}.{rest}"
    return key


def restore(key: str) -> str:
    """The inverse of ``rename``.

    Raises:
        UserError: If Ovi has no such part (a transcript encoder, a null reference, another interaction).
    """
    towers = {ours: published for published, ours in _TOWERS.items()}
    directions = {ours: published for published, ours in _DIRECTIONS.items()}
    parts = {ours: published for published, ours in _FUSION.items()}
    if match := _OUR_FUSION_NAME.fullmatch(key):
        layer, direction, part, leaf = match.groups()
        return f"{directions[direction]}.blocks.{layer}.cross_attn.{parts[part]}.{leaf}"
    if (match := _OUR_TOWER_NAME.fullmatch(key)) and not _NOT_OVIS.match(key):
        tower, rest = match.groups()
        return f"{towers[tower]}.{rest}" + (".modulation" if _OUR_MODULATION.fullmatch(rest) else "")
    raise UserError(f"{key} has no place in an Ovi checkpoint, which holds two towers and their fusion")


OVI = Layout(
    name="ovi",
    publisher="Character.AI",
    licence="Apache-2.0",
    part="network",
    telltale={
        "video_model.patch_embedding.weight": (None,) * 5,
        "video_model.blocks.0.modulation.modulation": (1, 6, None),
        "video_model.blocks.0.cross_attn.k_fusion.weight": (None, None),
        "audio_model.patch_embedding.0.weight": (None, None, 7),
        "audio_model.head.modulation": (1, 2, None),
    },
    rename=rename,
    restore=restore,
    models={
        "Ovi": {
            "video_model.patch_embedding.weight": (3072, 48, 1, 2, 2),
            "audio_model.patch_embedding.0.weight": (3072, 20, 7),
        }
    },
)
