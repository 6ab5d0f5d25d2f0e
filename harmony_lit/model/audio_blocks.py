"""Blocks of the audio branch: MM-DiT, with weights of its own for text; a single stream that shares them; Wan's shape.

Tokens are one sequence x (B, L, D) = [reference (R) ; noisy (T) ; text (K: transcript, then caption)], without the text
in blocks that attend to it by cross-attention.
Each block is in three steps, so that an interaction can stand within cross-attention or after it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from harmony_lit.model.layers import Attention, KeyValue, Within, attention, feed_forward, merge_heads, modulate
from harmony_lit.model.rope import Rotation, rotate
from harmony_lit.model.text import Text


@dataclass(frozen=True)
class AudioBlockDims:
    """What the tower tells its blocks; ``last`` marks the one whose text output nobody reads."""

    width: int
    ffn_width: int
    heads: int
    last: bool


@dataclass(frozen=True)
class AudioState:
    """What stays fixed through the blocks."""

    clean: Tensor  # (B, 1, 6, D) modulation at t = 0, for the reference
    noisy: Tensor  # (B, 1, 6, D) modulation at t, for the rest
    time: Tensor  # (B, 1, D)
    reference: int  # R
    latents: int  # R + T
    rotation: Rotation  # of all tokens
    bias: Tensor  # (B, 1, 1, L)
    text: Text  # (B, K, D), transcript and caption, for cross-attention


class AudioBlock(nn.Module, ABC):
    """Base of the blocks."""

    text_in_sequence: ClassVar[bool] = True
    """Whether text tokens are part of the sequence, or stand beside it for cross-attention."""

    @abstractmethod
    def self_attend(self, x: Tensor, state: AudioState) -> Tensor:
        """Self-attention over all tokens."""

    def cross_attend(self, x: Tensor, state: AudioState, within: Within | None = None) -> Tensor:
        """Cross-attention to the text; blocks whose text attends jointly have none.

        Raises:
            ValueError: If an interaction wants to take place within it.
        """
        if within is not None:
            raise ValueError(f"{type(self).__name__} has no cross-attention for this interaction: use CrossBlock")
        return x

    @abstractmethod
    def feed_forward(self, x: Tensor, state: AudioState) -> Tensor:
        """Feed-forward of every token."""


class Stream(nn.Module):
    """The weights of one stream: modulation, attention projections, feed-forward."""

    def __init__(self, dims: AudioBlockDims) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dims.width, eps=1e-6, elementwise_affine=False)
        self.attn = Attention(dims.width, dims.heads)
        self.norm2 = nn.LayerNorm(dims.width, eps=1e-6, elementwise_affine=False)
        self.ffn = feed_forward(dims.width, dims.ffn_width)
        self.modulation = nn.Parameter(torch.randn(1, 6, dims.width) / dims.width**0.5)

    def modulations(self, *states: Tensor) -> list[tuple[Tensor, ...]]:
        """Six (B, 1, D) tensors for each state (B, 1, 6, D): shift, scale, gate of attention and of feed-forward."""
        return [_modulations(state, self.modulation) for state in states]


class ReadOnlyStream(nn.Module):
    """The text stream of the last MM-DiT block: attended to, but its own update would be read by nobody."""

    def __init__(self, dims: AudioBlockDims) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dims.width, eps=1e-6, elementwise_affine=False)
        self.attn = KeyValue(dims.width, dims.heads)
        self.modulation = nn.Parameter(torch.randn(1, 2, dims.width) / dims.width**0.5)

    def modulations(self, *states: Tensor) -> list[tuple[Tensor, ...]]:
        """Shift and scale, each (B, 1, D), for each state (B, 1, 6, D)."""
        return [_modulations(state[:, :, :2], self.modulation) for state in states]


class SingleStreamBlock(AudioBlock):
    """All tokens through the same weights: fewer parameters and fewer kernels than MM-DiT, for small models."""

    def __init__(self, dims: AudioBlockDims) -> None:
        super().__init__()
        self.stream = Stream(dims)

    def self_attend(self, x: Tensor, state: AudioState) -> Tensor:
        """See the base."""
        clean, noisy = self.stream.modulations(state.clean, state.noisy)
        y = _modulate_parts(self.stream.norm1(x), state.reference, clean[:2], noisy[:2])
        return _add_parts(x, _attend_to_itself(self.stream.attn, y, state), state.reference, clean[2], noisy[2])

    def feed_forward(self, x: Tensor, state: AudioState) -> Tensor:
        """See the base."""
        clean, noisy = self.stream.modulations(state.clean, state.noisy)
        y = self.stream.ffn(_modulate_parts(self.stream.norm2(x), state.reference, clean[3:5], noisy[3:5]))
        return _add_parts(x, y, state.reference, clean[5], noisy[5])


class MMDiTBlock(AudioBlock):
    """The paper's: latents and text have weights of their own and attend jointly."""

    def __init__(self, dims: AudioBlockDims) -> None:
        super().__init__()
        self.latents = Stream(dims)
        self.text = ReadOnlyStream(dims) if dims.last else Stream(dims)

    def self_attend(self, x: Tensor, state: AudioState) -> Tensor:
        """See the base."""
        r, length = state.reference, state.latents
        latents, words = x[:, :length], x[:, length:]
        clean, noisy = self.latents.modulations(state.clean, state.noisy)
        (text,) = self.text.modulations(state.noisy)
        from_latents = _modulate_parts(self.latents.norm1(latents), r, clean[:2], noisy[:2])
        from_words = modulate(self.text.norm1(words), *text[:2])

        kv = [self.latents.attn.project_kv(from_latents), self.text.attn.project_kv(from_words)]
        k, v = (torch.cat(parts, dim=2) for parts in zip(*kv, strict=True))
        q = self.latents.attn.project_q(from_latents)
        if isinstance(self.text, Stream):
            q = torch.cat([q, self.text.attn.project_q(from_words)], dim=2)
        q, k = rotate(q, state.rotation[:, :, : q.shape[2]]), rotate(k, state.rotation)
        y = merge_heads(attention(q, k, v, state.bias))
        latents = _add_parts(latents, self.latents.attn.o(y[:, :length]), r, clean[2], noisy[2])
        if isinstance(self.text, Stream):
            words = torch.addcmul(words, self.text.attn.o(y[:, length:]), text[2])
        return torch.cat([latents, words], dim=1)

    def feed_forward(self, x: Tensor, state: AudioState) -> Tensor:
        """See the base."""
        r, length = state.reference, state.latents
        latents, words = x[:, :length], x[:, length:]
        clean, noisy = self.latents.modulations(state.clean, state.noisy)
        y = self.latents.ffn(_modulate_parts(self.latents.norm2(latents), r, clean[3:5], noisy[3:5]))
        latents = _add_parts(latents, y, r, clean[5], noisy[5])
        if isinstance(self.text, Stream):
            (text,) = self.text.modulations(state.noisy)
            y = self.text.ffn(modulate(self.text.norm2(words), *text[3:5]))
            words = torch.addcmul(words, y, text[5])
        return torch.cat([latents, words], dim=1)


class CrossBlock(AudioBlock):
    """Wan's shape, as Ovi's audio tower has it: latents attend to themselves, then to the text that stands beside them.

    Names are Wan's. The text keeps its embedding through all blocks; reference and noisy latents read it alike, but
    what an interaction brings ``within`` the cross-attention goes to the noisy latents only: they share the video's
    time, the reference does not.
    """

    text_in_sequence = False

    def __init__(self, dims: AudioBlockDims) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dims.width, eps=1e-6, elementwise_affine=False)
        self.self_attn = Attention(dims.width, dims.heads)
        self.norm3 = nn.LayerNorm(dims.width, eps=1e-6)
        self.cross_attn = Attention(dims.width, dims.heads)
        self.norm2 = nn.LayerNorm(dims.width, eps=1e-6, elementwise_affine=False)
        self.ffn = feed_forward(dims.width, dims.ffn_width)
        self.modulation = nn.Parameter(torch.randn(1, 6, dims.width) / dims.width**0.5)

    def self_attend(self, x: Tensor, state: AudioState) -> Tensor:
        """See the base."""
        clean, noisy = (_modulations(part, self.modulation) for part in (state.clean, state.noisy))
        y = _modulate_parts(self.norm1(x), state.reference, clean[:2], noisy[:2])
        return _add_parts(x, _attend_to_itself(self.self_attn, y, state), state.reference, clean[2], noisy[2])

    def cross_attend(self, x: Tensor, state: AudioState, within: Within | None = None) -> Tensor:
        """Cross-attention to transcript and caption."""
        inside = None if within is None else _ForNoisy(within, state.reference)
        return x + self.cross_attn(self.norm3(x), state.text, inside)

    def feed_forward(self, x: Tensor, state: AudioState) -> Tensor:
        """See the base."""
        clean, noisy = (_modulations(part, self.modulation) for part in (state.clean, state.noisy))
        y = self.ffn(_modulate_parts(self.norm2(x), state.reference, clean[3:5], noisy[3:5]))
        return _add_parts(x, y, state.reference, clean[5], noisy[5])


@dataclass(frozen=True)
class _ForNoisy:
    """``within`` for the queries behind the first ``reference``; those find nothing."""

    within: Within
    reference: int

    def __call__(self, q: Tensor) -> Tensor:
        return F.pad(self.within(q[:, :, self.reference :]), (0, 0, self.reference, 0))


def _modulations(state: Tensor, learned: Tensor) -> tuple[Tensor, ...]:
    """State (B, 1, n, D) and a block's own (1, n, D) to n tensors (B, 1, D)."""
    return (state + learned[:, None].to(state.dtype)).unbind(2)


def _attend_to_itself(attn: Attention, y: Tensor, state: AudioState) -> Tensor:
    """Self-attention of all tokens y (B, L, D) with their rotations."""
    k, v = attn.project_kv(y)
    q, k = rotate(attn.project_q(y), state.rotation), rotate(k, state.rotation)
    return attn.attend(q, k, v, state.bias)


def _modulate_parts(x: Tensor, r: int, clean: tuple[Tensor, ...], noisy: tuple[Tensor, ...]) -> Tensor:
    return torch.cat([modulate(x[:, :r], *clean), modulate(x[:, r:], *noisy)], dim=1)


def _add_parts(x: Tensor, update: Tensor, r: int, clean: Tensor, noisy: Tensor) -> Tensor:
    gated = [torch.addcmul(x[:, :r], update[:, :r], clean), torch.addcmul(x[:, r:], update[:, r:], noisy)]
    return torch.cat(gated, dim=1)
