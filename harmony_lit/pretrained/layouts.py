"""The layouts that are known, and which of them a file is in."""

from __future__ import annotations

from harmony_lit.errors import UserError, nearest
from harmony_lit.pretrained.layout import Layout
from harmony_lit.pretrained.mmaudio import MMAUDIO_LAYOUTS
from harmony_lit.pretrained.ovi import OVI
from harmony_lit.pretrained.source import WeightSource, some
from harmony_lit.pretrained.umt5 import UMT5_ORIGINAL, UMT5_TRANSFORMERS
from harmony_lit.pretrained.wan import WAN_DIFFUSERS, WAN_ORIGINAL
from harmony_lit.pretrained.wan_vae import WAN_VAE_DIFFUSERS, WAN_VAE_ORIGINAL


def _same(name: str) -> str:
    return name


HARMONY = Layout(
    name="harmony",
    publisher="a run of Harmony-Lit",
    licence=None,
    part="",
    telltale={
        "network.video.patch_embedding.weight": (None,) * 5,
        "network.video.blocks.0.self_attn.q.weight": (None, None),
        "network.video.head.modulation": (1, 2, None),
        "network.audio.head.modulation": (1, 2, None),
    },
    rename=_same,
    restore=_same,
    stem="weights",
)
"""What we write ourselves: all that a module has, under its own names. Found out for whole models only."""

LAYOUTS = (
    HARMONY,
    WAN_ORIGINAL,
    WAN_DIFFUSERS,
    OVI,
    WAN_VAE_ORIGINAL,
    WAN_VAE_DIFFUSERS,
    *MMAUDIO_LAYOUTS,
    UMT5_ORIGINAL,
    UMT5_TRANSFORMERS,
)


def detect(source: WeightSource) -> Layout:
    """The layout of a file, under the prefix that its names have.

    Raises:
        UserError: If it is in none of them; the message says which is nearest and what differs.
    """
    for layout in LAYOUTS:
        if (found := layout.found_in(source.shapes)) is not None:
            return found
    told = f"{source.path} is in no layout that is known: its {len(source.shapes)} tensors are "
    told += some(sorted(source.shapes), 3)
    near = min(LAYOUTS, key=lambda layout: len(layout.differences(source.shapes)) / len(layout.telltale))
    differences = near.differences(source.shapes)
    if len(differences) == len(near.telltale):
        raise UserError(f"{told}; known are {', '.join(layout.name for layout in LAYOUTS)}")
    raise UserError(f"{told}; the nearest is {near.name} ({near.publisher}), but there is {some(differences)}")


def layout_named(name: str) -> Layout:
    """The layout of this name.

    Raises:
        UserError: If there is none.
    """
    known = {entry.name: entry for entry in LAYOUTS}
    if name not in known:
        raise UserError(f"there is no layout '{name}'.{nearest(name, known)}")
    return known[name]
