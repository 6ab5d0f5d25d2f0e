"""Published weights: what a file is, where its tensors go, and loading them strictly, one at a time."""

from harmony_lit.pretrained.layout import Layout
from harmony_lit.pretrained.layouts import LAYOUTS, detect, layout_named
from harmony_lit.pretrained.load import Piece, load_pieces, load_pretrained
from harmony_lit.pretrained.source import WeightSource, open_weights

__all__ = [
    "LAYOUTS",
    "Layout",
    "Piece",
    "WeightSource",
    "detect",
    "layout_named",
    "load_pieces",
    "load_pretrained",
    "open_weights",
]
