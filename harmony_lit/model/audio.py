"""The audio branch: a transformer symmetric in depth to the video branch (Sec. 3.1).

eps_a = MMDiT(concat([z_r ; z_a,t], e_speech, e_prompt), t_a): reference latents, noisy latents, transcript and
caption attend jointly. With ``CrossBlock`` the text stands beside the sequence instead, as in Ovi's audio tower.

Shape legend: B batch, R reference latents, T noisy latents, K text tokens (transcript, then caption), L tokens of the
sequence (R + T + K, or R + T beside the text), D width, C latent channels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from harmony_lit.containers import AudioLatents, Conditions, TextEmbeds, length_mask
from harmony_lit.geometry import Geometry
from harmony_lit.model.audio_blocks import AudioBlock, AudioBlockDims, AudioState, MMDiTBlock
from harmony_lit.model.audio_positions import AudioPositions, LatentPositions
from harmony_lit.model.audio_projection import AudioProjection, LinearProjection
from harmony_lit.model.layers import mask_bias, sinusoidal_embedding
from harmony_lit.model.text import Text, fill_caption
from harmony_lit.model.transcript import TranscriptEncoder
from harmony_lit.model.video import Head


@dataclass(frozen=True)
class AudioDims:
    """What the model tells its audio tower."""

    channels: int
    caption_dim: int
    vocab_size: int
    depth: int
    geometry: Geometry


class AudioTower(nn.Module):
    """The audio branch; by default the paper's, with joint conditioning.

    Rotary positions are in audio latents: noisy latents at 0 .. T-1; the reference, of length r, at -r .. -1, so that
    it ends where the clip begins. Text in the sequence has positions too: transcript characters spread evenly over the
    clip (a prior, not an alignment); caption tokens, which belong to no moment, at 0.

    Ovi's tower has ``block: CrossBlock``, ``projection: ConvProjection``, ``positions: VideoTimePositions``,
    ``text_len: 512``, ``transcript: null`` and ``null_reference: 0``; its speech stands in the caption (see
    ``OviPrompt``).

    Args:
        dims: Channels, caption width, vocabulary, depth and rates, passed by the model.
        width: Width D (3072 as in Ovi, 1536 as in UniAVGen).
        heads: Attention heads.
        ffn_width: Hidden width of the feed-forwards.
        freq_dim: Width of the sinusoidal timestep embedding.
        null_reference: Length of the learned reference that stands in where none is given; 0 for none.
        text_len: Tokens that every caption is padded to with zeros, all of them attended to, as Ovi was trained (512);
            None attends to the caption's own tokens only.
        block: The blocks; their dims are passed by the tower.
        transcript: The transcript encoder; the vocabulary is passed by the tower. None where transcripts are part of
            the caption; those in the conditions are then not read.
        projection: Latents to tokens; channels and width are passed by the tower.
        positions: Rotary positions; the geometry is passed by the tower.
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
        text_len: int | None = None,
        block: Callable[[AudioBlockDims], AudioBlock] = MMDiTBlock,
        transcript: Callable[[int], TranscriptEncoder] | None = TranscriptEncoder,
        projection: Callable[[int, int], AudioProjection] = LinearProjection,
        positions: Callable[[Geometry], AudioPositions] = LatentPositions,
    ) -> None:
        super().__init__()
        self.dims, self.width, self.heads, self.freq_dim, self.text_len = dims, width, heads, freq_dim, text_len
        self.positions = positions(dims.geometry)
        self.patch_embedding = projection(dims.channels, width)
        self.null_reference = nn.Parameter(torch.randn(null_reference, width) * 0.02) if null_reference else None
        self.transcript: TranscriptEncoder | None = None
        if transcript is not None:
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
        noisy = self.patch_embedding(latents)
        reference, reference_lengths = self._reference(conditions.reference_audio)
        text, text_mask, text_positions = self._text(latents, conditions)
        text = text.to(noisy.dtype)
        r, end = reference.shape[1], reference.shape[1] + noisy.shape[1]

        tokens = [reference.to(noisy.dtype), noisy]
        masks = [length_mask(reference_lengths, r), latents.mask]
        positions = self._latent_positions(latents, r, reference_lengths)
        if self.layers[0].text_in_sequence:
            tokens.append(text)
            masks.append(text_mask)
            positions.append(text_positions)

        times = torch.stack([torch.zeros_like(t), t], dim=1)
        embedded = sinusoidal_embedding(times * 1000, self.freq_dim).to(self.head.head.weight.dtype)
        time = self.time_embedding(embedded)
        clean, at_t = self.time_projection(time).unflatten(-1, (6, self.width)).split(1, dim=1)
        state = AudioState(
            clean=clean,
            noisy=at_t,
            time=time[:, 1:],
            reference=r,
            latents=end,
            rotation=self.positions.rotation(torch.cat(positions, dim=1), self.width // self.heads),
            bias=mask_bias(torch.cat(masks, dim=1))[:, None, None],
            text=Text(text, mask_bias(text_mask)[:, None, None]),
        )
        return torch.cat(tokens, dim=1), state

    def unembed(self, x: Tensor, state: AudioState) -> Tensor:
        """Tokens (B, L, D) to velocities of the noisy part, (B, C, T)."""
        return self.head(x[:, state.reference : state.latents], state.time).transpose(1, 2)

    @property
    def layers(self) -> list[AudioBlock]:
        """The blocks, typed."""
        return cast(list[AudioBlock], list(self.blocks))

    def _reference(self, given: AudioLatents) -> tuple[Tensor, Tensor]:
        """Embedded reference (B, R, D) with its lengths; the learned null, if any, where the given length is 0."""
        null, embedded = self.null_reference, self.patch_embedding(given)
        if null is None:
            return embedded, given.lengths
        size = max(embedded.shape[1], null.shape[0])
        embedded = nn.functional.pad(embedded, (0, 0, 0, size - embedded.shape[1]))
        padded_null = nn.functional.pad(null, (0, 0, 0, size - null.shape[0]))
        absent = given.lengths == 0
        reference = torch.where(absent[:, None, None], padded_null.to(embedded.dtype), embedded)
        return reference, torch.where(absent, null.shape[0], given.lengths)

    def _text(self, latents: AudioLatents, conditions: Conditions) -> tuple[Tensor, Tensor, Tensor]:
        """Embedded transcript and caption (B, K, D), their mask (B, K) and positions (B, K)."""
        caption, transcript = conditions.audio_caption, conditions.transcript
        if self.text_len is not None:
            x = fill_caption(caption, self.text_len)
            caption = TextEmbeds(x, torch.ones(x.shape[:2], dtype=torch.bool, device=x.device))
        nowhen = torch.zeros_like(caption.mask, dtype=torch.float32)
        if self.transcript is None:
            return self.text_embedding(caption.x), caption.mask, nowhen
        words = self.transcript_embedding(self.transcript(transcript))
        order = torch.arange(transcript.mask.shape[1], device=transcript.mask.device)[None] + 0.5
        spread = order * (latents.lengths / transcript.mask.sum(dim=1).clamp(min=1))[:, None]
        return (
            torch.cat([words, self.text_embedding(caption.x)], dim=1),
            torch.cat([transcript.mask, caption.mask], dim=1),
            torch.cat([spread.float(), nowhen], dim=1),
        )

    @staticmethod
    def _latent_positions(latents: AudioLatents, r: int, reference_lengths: Tensor) -> list[Tensor]:
        """Of the reference (B, R) and of the noisy latents (B, T)."""
        device, (batch, _, frames) = latents.x.device, latents.x.shape
        reference = torch.arange(r, device=device)[None] - reference_lengths[:, None]
        return [reference.float(), torch.arange(frames, device=device).expand(batch, -1).float()]
