"""The audio branch: an MM-DiT symmetric in depth to the video branch (Sec. 3.1).

eps_a = MMDiT(concat([z_r ; z_a,t], e_speech, e_prompt), t_a): reference latents, noisy latents, transcript and
caption attend jointly; latents and text have weights of their own.

Shape legend: B batch, R reference latents, T noisy latents, L = R + T, K text tokens (transcript, then caption),
D width, C latent channels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from harmony_lit.containers import AudioLatents, Conditions, length_mask
from harmony_lit.model.layers import (
    Attention,
    KeyValue,
    attention,
    feed_forward,
    mask_bias,
    merge_heads,
    modulate,
    sinusoidal_embedding,
)
from harmony_lit.model.rope import Rotation, rotate, time_rotation
from harmony_lit.model.transcript import TranscriptEncoder
from harmony_lit.model.video import Head


@dataclass(frozen=True)
class AudioDims:
    """What the model tells its audio tower."""

    channels: int
    caption_dim: int
    vocab_size: int
    depth: int


@dataclass(frozen=True)
class AudioTokens:
    """Hidden states: ``latents`` (B, R + T, D), reference first, and ``text`` (B, K, D)."""

    latents: Tensor
    text: Tensor


@dataclass(frozen=True)
class AudioState:
    """What stays fixed through the blocks."""

    clean: Tensor  # (B, 1, 6, D) modulation at t = 0, for the reference
    noisy: Tensor  # (B, 1, 6, D) modulation at t
    time: Tensor  # (B, 1, D)
    reference: int  # R
    rotation: Rotation  # of [latents ; text]
    bias: Tensor  # (B, 1, 1, L + K)


class Stream(nn.Module):
    """The weights of one stream of an MM-DiT block: modulation, attention projections, feed-forward."""

    def __init__(self, dim: int, ffn_dim: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=1e-6, elementwise_affine=False)
        self.attn = Attention(dim, heads)
        self.norm2 = nn.LayerNorm(dim, eps=1e-6, elementwise_affine=False)
        self.ffn = feed_forward(dim, ffn_dim)
        self.modulation = nn.Parameter(torch.randn(1, 6, dim) / dim**0.5)

    def modulations(self, *states: Tensor) -> list[tuple[Tensor, ...]]:
        """Six (B, 1, D) tensors for each state (B, 1, 6, D): shift, scale, gate of attention and of feed-forward."""
        return [(state + self.modulation[:, None]).unbind(2) for state in states]


class ReadOnlyStream(nn.Module):
    """The text stream of the last block: it is attended to, but its own update would be read by nobody."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=1e-6, elementwise_affine=False)
        self.attn = KeyValue(dim, heads)
        self.modulation = nn.Parameter(torch.randn(1, 2, dim) / dim**0.5)

    def modulations(self, *states: Tensor) -> list[tuple[Tensor, ...]]:
        """Shift and scale, each (B, 1, D), for each state (B, 1, 6, D)."""
        return [(state[:, :, :2] + self.modulation[:, None]).unbind(2) for state in states]


class AudioBlock(nn.Module):
    """One MM-DiT block in two halves, so that the interaction can stand between attention and feed-forward."""

    def __init__(self, dim: int, ffn_dim: int, heads: int, last: bool = False) -> None:
        super().__init__()
        self.latents = Stream(dim, ffn_dim, heads)
        self.text = ReadOnlyStream(dim, heads) if last else Stream(dim, ffn_dim, heads)

    def attend(self, x: AudioTokens, state: AudioState) -> AudioTokens:
        """Joint self-attention over [reference ; noisy ; transcript ; caption]."""
        r, length = state.reference, x.latents.shape[1]
        clean, noisy = self.latents.modulations(state.clean, state.noisy)
        (text,) = self.text.modulations(state.noisy)
        latents = _modulate_parts(self.latents.norm1(x.latents), r, clean[:2], noisy[:2])
        words = modulate(self.text.norm1(x.text), *text[:2])

        kv = [self.latents.attn.project_kv(latents), self.text.attn.project_kv(words)]
        k, v = (torch.cat(parts, dim=2) for parts in zip(*kv, strict=True))
        q = self.latents.attn.project_q(latents)
        if isinstance(self.text, Stream):
            q = torch.cat([q, self.text.attn.project_q(words)], dim=2)
        q, k = rotate(q, state.rotation[:, :, : q.shape[2]]), rotate(k, state.rotation)
        y = merge_heads(attention(q, k, v, state.bias))
        update = _gate_parts(self.latents.attn.o(y[:, :length]), r, clean[2], noisy[2])
        if isinstance(self.text, Stream):
            return AudioTokens(x.latents + update, x.text + self.text.attn.o(y[:, length:]) * text[2])
        return AudioTokens(x.latents + update, x.text)

    def feed_forward(self, x: AudioTokens, state: AudioState) -> AudioTokens:
        """Each stream through its own feed-forward."""
        clean, noisy = self.latents.modulations(state.clean, state.noisy)
        y = self.latents.ffn(_modulate_parts(self.latents.norm2(x.latents), state.reference, clean[3:5], noisy[3:5]))
        latents = x.latents + _gate_parts(y, state.reference, clean[5], noisy[5])
        if not isinstance(self.text, Stream):
            return AudioTokens(latents, x.text)
        (text,) = self.text.modulations(state.noisy)
        return AudioTokens(latents, x.text + self.text.ffn(modulate(self.text.norm2(x.text), *text[3:5])) * text[5])


def _modulate_parts(x: Tensor, r: int, clean: tuple[Tensor, ...], noisy: tuple[Tensor, ...]) -> Tensor:
    return torch.cat([modulate(x[:, :r], *clean), modulate(x[:, r:], *noisy)], dim=1)


def _gate_parts(x: Tensor, r: int, clean: Tensor, noisy: Tensor) -> Tensor:
    return torch.cat([x[:, :r] * clean, x[:, r:] * noisy], dim=1)


class AudioTower(nn.Module):
    """The paper's audio branch with joint conditioning.

    Rotary positions are in audio latents: noisy latents at 0 .. T-1; the reference, of length r, at -r .. -1, so that
    it ends where the clip begins; transcript characters spread evenly over the clip (a prior, not an alignment);
    caption tokens, which belong to no moment, at 0.

    Args:
        dims: Channels, caption width, vocabulary and depth, passed by the model.
        width: Width D (3072 as in Ovi, 1536 as in UniAVGen).
        heads: Attention heads.
        ffn_width: Hidden width of the feed-forwards.
        freq_dim: Width of the sinusoidal timestep embedding.
        null_reference: Length of the learned reference that stands in where none is given.
        transcript: The transcript encoder; the vocabulary is passed by the tower.
    """

    def __init__(
        self,
        dims: AudioDims,
        *,
        width: int = 3072,
        heads: int = 24,
        ffn_width: int = 14_336,
        freq_dim: int = 256,
        null_reference: int = 8,
        transcript: Callable[[int], TranscriptEncoder] = TranscriptEncoder,
    ) -> None:
        super().__init__()
        self.dims, self.width, self.heads, self.freq_dim = dims, width, heads, freq_dim
        self.patch_embedding = nn.Linear(dims.channels, width)
        self.null_reference = nn.Parameter(torch.randn(null_reference, width) * 0.02)
        self.transcript = transcript(dims.vocab_size)
        self.transcript_embedding = nn.Linear(self.transcript.width, width)
        self.text_embedding = nn.Sequential(
            nn.Linear(dims.caption_dim, width), nn.GELU(approximate="tanh"), nn.Linear(width, width)
        )
        self.time_embedding = nn.Sequential(nn.Linear(freq_dim, width), nn.SiLU(), nn.Linear(width, width))
        self.time_projection = nn.Sequential(nn.SiLU(), nn.Linear(width, 6 * width))
        self.blocks = nn.ModuleList(
            AudioBlock(width, ffn_width, heads, last=layer == dims.depth - 1) for layer in range(dims.depth)
        )
        self.head = Head(width, dims.channels)

    def embed(self, latents: AudioLatents, t: Tensor, conditions: Conditions) -> tuple[AudioTokens, AudioState]:
        """Tokens and the state of the blocks.

        Args:
            latents: Noisy latents (B, C, T).
            t: Timestep in [0, 1], (B,).
            conditions: Transcript, audio caption and reference audio.
        """
        noisy = self.patch_embedding(latents.x.transpose(1, 2))
        reference, reference_lengths = self._reference(conditions.reference_audio)
        caption, transcript = conditions.audio_caption, conditions.transcript
        text = torch.cat(
            [self.transcript_embedding(self.transcript(transcript)), self.text_embedding(caption.x)], dim=1
        )
        mask = torch.cat(
            [length_mask(reference_lengths, reference.shape[1]), latents.mask, transcript.mask, caption.mask], dim=1
        )
        times = torch.stack([torch.zeros_like(t), t], dim=1)
        embedded = sinusoidal_embedding(times * 1000, self.freq_dim).to(self.null_reference.dtype)
        time = self.time_embedding(embedded)
        clean, at_t = self.time_projection(time).unflatten(-1, (6, self.width)).split(1, dim=1)
        state = AudioState(
            clean=clean,
            noisy=at_t,
            time=time[:, 1:],
            reference=reference.shape[1],
            rotation=time_rotation(
                self._positions(latents, reference.shape[1], reference_lengths, conditions), self.width // self.heads
            ),
            bias=mask_bias(mask)[:, None, None],
        )
        return AudioTokens(torch.cat([reference.to(noisy.dtype), noisy], dim=1), text), state

    def unembed(self, x: AudioTokens, state: AudioState) -> Tensor:
        """Tokens to velocities of the noisy part, (B, C, T)."""
        return self.head(x.latents[:, state.reference :], state.time).transpose(1, 2)

    def _reference(self, given: AudioLatents) -> tuple[Tensor, Tensor]:
        """Embedded reference (B, R, D) with its lengths; the learned null where the given length is 0."""
        null = self.null_reference
        size = max(given.x.shape[2], null.shape[0])
        pad = (0, 0, 0, size - given.x.shape[2])
        embedded = nn.functional.pad(self.patch_embedding(given.x.transpose(1, 2)), pad)
        padded_null = nn.functional.pad(null, (0, 0, 0, size - null.shape[0]))
        absent = given.lengths == 0
        reference = torch.where(absent[:, None, None], padded_null.to(embedded.dtype), embedded)
        return reference, torch.where(absent, null.shape[0], given.lengths)

    def _positions(self, latents: AudioLatents, r: int, reference_lengths: Tensor, conditions: Conditions) -> Tensor:
        device = latents.x.device
        batch, frames = latents.x.shape[0], latents.x.shape[2]
        reference = torch.arange(r, device=device)[None] - reference_lengths[:, None]
        noisy = torch.arange(frames, device=device).expand(batch, -1)
        characters = conditions.transcript.mask
        order = torch.arange(characters.shape[1], device=device)[None] + 0.5
        spread = order * (latents.lengths / characters.sum(dim=1).clamp(min=1))[:, None]
        caption = torch.zeros_like(conditions.audio_caption.mask, dtype=torch.float32)
        return torch.cat([reference.float(), noisy.float(), spread.float(), caption], dim=1)
