"""The audio branch: an MM-DiT symmetric in depth to the video branch (Sec. 3.1).

eps_a = MMDiT(concat([z_r ; z_a,t], e_speech, e_prompt), t_a): reference latents, noisy latents, transcript and
caption attend jointly.

Shape legend: B batch, R reference latents, T noisy latents, K text tokens (transcript, then caption), L = R + T + K,
D width, C latent channels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from harmony_lit.containers import AudioLatents, Conditions, length_mask
from harmony_lit.model.audio_blocks import AudioBlock, AudioBlockDims, AudioState, MMDiTBlock
from harmony_lit.model.layers import mask_bias, sinusoidal_embedding
from harmony_lit.model.rope import time_rotation
from harmony_lit.model.transcript import TranscriptEncoder
from harmony_lit.model.video import Head


@dataclass(frozen=True)
class AudioDims:
    """What the model tells its audio tower."""

    channels: int
    caption_dim: int
    vocab_size: int
    depth: int


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
        block: The blocks; their dims are passed by the tower.
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
        block: Callable[[AudioBlockDims], AudioBlock] = MMDiTBlock,
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
            block(AudioBlockDims(width, ffn_width, heads, last=layer == dims.depth - 1)) for layer in range(dims.depth)
        )
        self.head = Head(width, dims.channels)

    def embed(self, latents: AudioLatents, t: Tensor, conditions: Conditions) -> tuple[Tensor, AudioState]:
        """Tokens (B, L, D) and the state of the blocks.

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
            latents=reference.shape[1] + noisy.shape[1],
            rotation=time_rotation(
                self._positions(latents, reference.shape[1], reference_lengths, conditions), self.width // self.heads
            ),
            bias=mask_bias(mask)[:, None, None],
        )
        return torch.cat([reference.to(noisy.dtype), noisy, text.to(noisy.dtype)], dim=1), state

    def unembed(self, x: Tensor, state: AudioState) -> Tensor:
        """Tokens (B, L, D) to velocities of the noisy part, (B, C, T)."""
        return self.head(x[:, state.reference : state.latents], state.time).transpose(1, 2)

    @property
    def layers(self) -> list[AudioBlock]:
        """The blocks, typed."""
        return cast(list[AudioBlock], list(self.blocks))

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
