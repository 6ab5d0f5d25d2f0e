"""What every cross-modal interaction has in common: an attention each way, at every layer.

Shape legend: B batch, T latent frames, S video tokens per latent frame, A noisy audio latents, Dv Da widths.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from harmony_lit.containers import length_mask
from harmony_lit.geometry import Geometry
from harmony_lit.model.layers import Attention, Within, attention, merge_heads
from harmony_lit.model.rope import Rotation, rotate


@dataclass(frozen=True)
class InteractionDims:
    """What the model tells its interaction: widths, heads, depth and the geometry that gives the rates."""

    video_width: int
    audio_width: int
    heads: int
    depth: int
    geometry: Geometry


@dataclass(frozen=True)
class Timeline:
    """Lengths of a batch: ``video_lengths`` and ``audio_lengths`` (B,), padded to ``video_size`` and ``audio_size``."""

    video_lengths: Tensor
    audio_lengths: Tensor
    video_size: int
    audio_size: int

    @property
    def video_mask(self) -> Tensor:
        """(B, T), True where valid."""
        return length_mask(self.video_lengths, self.video_size)

    @property
    def audio_mask(self) -> Tensor:
        """(B, A), True where valid."""
        return length_mask(self.audio_lengths, self.audio_size)


@dataclass(frozen=True)
class Direction:
    """How one modality looks at the other: which tokens, and at which rotary positions.

    ``bias`` (B, 1, Lq, Lk) additive; ``query`` and ``key`` rotations, or None for no positions.
    """

    bias: Tensor
    query: Rotation | None
    key: Rotation | None


@dataclass(frozen=True)
class Plan:
    """Both directions, computed once for all layers of a forward pass."""

    audio_to_video: Direction
    video_to_audio: Direction


class CrossModalAttention(nn.Module):
    """Pre-norm attention from one modality to the other with QK RMS norm and a zero-initialised output.

    At initialisation the update is exactly zero, so that pretrained branches start unharmed.
    """

    def __init__(self, dim: int, source_dim: int, heads: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        self.source_norm = nn.LayerNorm(source_dim, eps=1e-6)
        self.attn = Attention(dim, heads, source_dim, zero_init=True)

    def forward(self, target: Tensor, source: Tensor, direction: Direction) -> Tensor:
        """Update of target (B, Lq, D) from source (B, Lk, Ds): (B, Lq, D)."""
        q = self.attn.project_q(self.norm(target))
        k, v = self.attn.project_kv(self.source_norm(source))
        if direction.query is not None and direction.key is not None:
            q, k = rotate(q, direction.query), rotate(k, direction.key)
        return self.attn.o(merge_heads(attention(q, k, v, direction.bias)))


class InteractionLayer(nn.Module):
    """Audio to video and video to audio at one layer."""

    def __init__(self, dims: InteractionDims) -> None:
        super().__init__()
        self.audio_to_video = CrossModalAttention(dims.video_width, dims.audio_width, dims.heads)
        self.video_to_audio = CrossModalAttention(dims.audio_width, dims.video_width, dims.heads)


class Interaction(nn.Module):
    """Base of the interactions: subclasses say in ``plan`` who attends to whom.

    Args:
        dims: Passed by the model.
    """

    def __init__(self, dims: InteractionDims) -> None:
        super().__init__()
        if dims.video_width % dims.heads or dims.audio_width % dims.heads:
            raise ValueError(
                f"interaction heads {dims.heads} must divide both widths, {dims.video_width} and {dims.audio_width}"
            )
        self.dims = dims
        self.layers = nn.ModuleList(InteractionLayer(dims) for _ in range(dims.depth))

    def plan(self, timeline: Timeline, tokens_per_frame: int) -> Plan:
        """Who attends to whom, once per forward pass."""
        raise NotImplementedError(f"{type(self).__name__} must say who attends to whom")

    def within(self, layer: int, video: Tensor, audio: Tensor, plan: Plan) -> tuple[Within | None, Within | None]:
        """What takes place inside the cross-attention to the captions of layer ``layer``; nothing by default.

        Args:
            layer: Index of the layer.
            video: (B, T, S, Dv), after self-attention.
            audio: Noisy audio tokens (B, A, Da), after self-attention.
            plan: From ``plan``.

        Returns:
            For the video's and for the audio's cross-attention.
        """
        return None, None

    def forward(self, layer: int, video: Tensor, audio: Tensor, plan: Plan) -> tuple[Tensor, Tensor]:
        """Updates (dz_v, dz_a) of layer ``layer``, both from the states before the interaction.

        Args:
            layer: Index of the layer.
            video: (B, T, S, Dv).
            audio: Noisy audio tokens (B, A, Da).
            plan: From ``plan``.
        """
        at = self.layers[layer]
        assert isinstance(at, InteractionLayer)
        flat = video.flatten(1, 2)
        to_video = at.audio_to_video(flat, audio, plan.audio_to_video)
        to_audio = at.video_to_audio(audio, flat, plan.video_to_audio)
        return to_video.unflatten(1, video.shape[1:3]), to_audio


def token_mask(mask: Tensor, tokens_per_frame: int) -> Tensor:
    """(..., T) over frames -> (..., T * S) over video tokens."""
    return torch.repeat_interleave(mask, tokens_per_frame, dim=-1)
