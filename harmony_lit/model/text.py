"""Caption tokens as a tower sees them, kept with their keys and values while a sampler runs.

A caption does not change over the steps of sampling, nor with it what the layers of a tower project it to: with forty
steps and three guidance branches the same product would be taken 120 times.

Shape legend: B batch, L tokens, D width, N heads, E head width.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from harmony_lit.containers import TextEmbeds
from harmony_lit.errors import UserError

if TYPE_CHECKING:
    from harmony_lit.model.layers import KeyValue

KeysValues = tuple[Tensor, Tensor]
_Memory = dict[tuple[int, int], tuple[nn.Module, TextEmbeds, "Text"]]
_memory: ContextVar[_Memory | None] = ContextVar("caption memory", default=None)


class Text:
    """The embedded caption of one tower.

    Args:
        x: Embedded tokens, (B, L, D).
        bias: Additive mask, (B, 1, 1, L), or None where every token is attended to.
        keep: Whether each layer's keys and values are kept.
    """

    def __init__(self, x: Tensor, bias: Tensor | None, keep: bool = False) -> None:
        self.x, self.bias = x, bias
        self._kept: dict[int, tuple[KeyValue, KeysValues]] | None = {} if keep else None

    def keys_values(self, layer: KeyValue) -> KeysValues:
        """What ``layer`` makes of the caption: keys and values, each (B, N, L, E)."""
        if self._kept is None:
            return layer.project_kv(self.x)
        # Layers are told apart by identity; holding on to the layer keeps its id from being given to another.
        if id(layer) not in self._kept:
            self._kept[id(layer)] = layer, layer.project_kv(self.x)
        return self._kept[id(layer)][1]


@contextmanager
def captions_kept() -> Iterator[None]:
    """Within it, without gradients, a tower embeds and projects each ``TextEmbeds`` object once.

    Open it around one run of a sampler, over which neither weights nor captions change: what was kept ends with it.
    """
    token = _memory.set({})
    try:
        yield
    finally:
        _memory.reset(token)


def embed_caption(tower: nn.Module, caption: TextEmbeds, embed: Callable[[TextEmbeds, bool], Text]) -> Text:
    """``embed(caption, keep)``, or what ``tower`` made of this very object before, inside ``captions_kept``."""
    memory = _memory.get()
    if memory is None or torch.is_grad_enabled():
        return embed(caption, False)
    key = id(tower), id(caption)
    if key not in memory:
        memory[key] = tower, caption, embed(caption, True)
    return memory[key][2]


def fill_caption(caption: TextEmbeds, length: int) -> Tensor:
    """Embeddings (B, L, D) padded with zeros to (B, length, D), zeros also in place of what the mask leaves out.

    Raises:
        UserError: If a caption is longer.
    """
    size = caption.x.shape[1]
    if size > length:
        raise UserError(f"text_len: captions of {size} tokens do not fit {length}; cut them where they are encoded")
    return F.pad(caption.x * caption.mask[..., None].to(caption.x.dtype), (0, 0, 0, length - size))
