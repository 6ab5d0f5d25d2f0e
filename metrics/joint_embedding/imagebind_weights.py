"""Where the weights of ``imagebind_huge.pth`` go in our towers; sizes are read from the file, its other towers left."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

import torch
from torch import Size

from harmony_lit.errors import UserError
from harmony_lit.pretrained.layout import Layout
from harmony_lit.pretrained.load import load_pretrained
from harmony_lit.pretrained.source import open_weights
from metrics.joint_embedding.towers import AudioTower, TextTower, Tower, TowerSize, VisionTower
from metrics.networks import Runtime

Modality = Literal["vision", "audio", "text"]
TOWERS: Mapping[str, Callable[[TowerSize], Tower]] = {"vision": VisionTower, "audio": AudioTower, "text": TextTower}
HEADS = {"vision": 16, "audio": 12, "text": 16}
"""Attention heads of ImageBind-huge; shapes do not tell them."""
_OURS_BY_PUBLISHED = {
    "vision": {
        "modality_preprocessors.vision.cls_token": "class_token",
        "modality_preprocessors.vision.rgbt_stem.proj.1.": "patches.",
        "modality_preprocessors.vision.pos_embedding_helper.pos_embed": "positions",
        "modality_trunks.vision.pre_transformer_layer.0.": "norm_in.",
        "modality_trunks.vision.blocks.": "blocks.",
        "modality_heads.vision.0.": "norm_out.",
        "modality_heads.vision.2.": "project.",
    },
    "audio": {
        "modality_preprocessors.audio.cls_token": "class_token",
        "modality_preprocessors.audio.rgbt_stem.proj.": "patches.",
        "modality_preprocessors.audio.rgbt_stem.norm_layer.": "norm_patches.",
        "modality_preprocessors.audio.pos_embedding_helper.pos_embed": "positions",
        "modality_trunks.audio.blocks.": "blocks.",
        "modality_heads.audio.0.": "norm_out.",
        "modality_heads.audio.2.": "project.",
    },
    "text": {
        "modality_preprocessors.text.token_embedding.": "tokens.",
        "modality_preprocessors.text.pos_embed": "positions",
        "modality_trunks.text.blocks.": "blocks.",
        "modality_heads.text.proj.0.": "norm_out.",
        "modality_heads.text.proj.1.": "project.",
    },
}
_MASK = "modality_preprocessors.text.mask"  # made when it is needed
_SCALES = "modality_postprocessors."  # of logits; a cosine has none


def layout_of(modality: Modality) -> Layout:
    """How the published file names a tower; names of other towers are passed over, unknown ones of this are not."""
    ours_by_published = _OURS_BY_PUBLISHED[modality]

    def rename(name: str) -> str | None:
        for published, ours in ours_by_published.items():
            if name.startswith(published):
                return ours + name.removeprefix(published)
        foreign = name.startswith("modality_") and f".{modality}." not in name
        return None if foreign or name == _MASK or name.startswith(_SCALES) else name

    def restore(name: str) -> str:
        for published, ours in ours_by_published.items():
            if name.startswith(ours):
                return published + name.removeprefix(ours)
        raise KeyError(name)

    return Layout(
        name=f"imagebind-{modality}",
        publisher="Meta (ImageBind)",
        licence="CC-BY-NC-SA 4.0: not for commercial use",
        part="",
        telltale={},
        rename=rename,
        restore=restore,
    )


def size_of(modality: Modality, shapes: Mapping[str, Size]) -> TowerSize:
    """The size of a tower in a file of these shapes.

    Raises:
        KeyError: If the tower is not in it.
    """
    head = f"modality_heads.{modality}.{'proj.1' if modality == 'text' else '2'}.weight"
    trunk = f"modality_trunks.{modality}.blocks."
    joint, width = shapes[head]
    depth = len({name.removeprefix(trunk).partition(".")[0] for name in shapes if name.startswith(trunk)})
    words = shapes["modality_preprocessors.text.token_embedding.weight"][0] if modality == "text" else 0
    return TowerSize(width, depth, joint, HEADS[modality], words)


def load_tower(weights: str, modality: Modality, runtime: Runtime) -> Tower:
    """One tower of the published network, ready.

    Raises:
        UserError: If the file is absent or damaged, or a name or shape of the tower differs.
    """
    source = open_weights(weights)
    try:
        size = size_of(modality, source.shapes)
    except KeyError as error:
        raise UserError(f"{weights} is not ImageBind's weights file: it has no {error.args[0]}") from None
    with torch.device("meta"):
        tower = TOWERS[modality](size).to(runtime.dtype)
    load_pretrained(tower, source, layout_of(modality), device=runtime.torch_device)
    runtime.place(tower)
    return tower
