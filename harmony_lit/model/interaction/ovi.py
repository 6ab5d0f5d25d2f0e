"""Ovi's fusion (arXiv 2510.01284): each tower's caption cross-attention also looks at the other tower.

Shape legend: B batch, N heads of the target's tower, T latent frames, S video tokens per latent frame, A audio
latents, E head width, Dv Da widths.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from harmony_lit.model.interaction.base import Direction, Interaction, InteractionDims, Plan, Timeline, token_mask
from harmony_lit.model.layers import KeyValue, Within, attention, mask_bias
from harmony_lit.model.rope import Rotation, rotate, video_rotation


@dataclass(frozen=True)
class Fused:
    """What a cross-attention finds in the other modality with its own queries.

    A container rather than a closure, so that a compiled block is compiled once for all layers and steps.
    """

    k: Tensor  # (B, N, Lk, E), turned
    v: Tensor  # (B, N, Lk, E)
    bias: Tensor  # (B, 1, 1, Lk)
    query: Rotation

    def __call__(self, q: Tensor) -> Tensor:
        """Queries (B, N, Lq, E) -> (B, N, Lq, E)."""
        return attention(rotate(q, self.query), self.k, self.v, self.bias)


class FusedKeyValue(KeyValue):
    """Keys and values of one modality for the other's cross-attention (Ovi's ``*_fusion`` parts).

    Where nothing is loaded the values are zero, so that pretrained towers start unharmed.
    """

    def __init__(self, dim: int, heads: int, source_dim: int) -> None:
        super().__init__(dim, heads, source_dim)
        self.norm = nn.LayerNorm(source_dim, eps=1e-6)
        nn.init.zeros_(self.v.weight)
        nn.init.zeros_(self.v.bias)

    def forward(self, source: Tensor, direction: Direction) -> Within:
        """What queries will find in ``source`` (B, Lk, Ds)."""
        assert direction.query is not None and direction.key is not None
        k, v = self.project_kv(self.norm(source))
        return Fused(rotate(k, direction.key), v, direction.bias, direction.query)


class FusionLayer(nn.Module):
    """Audio to video and video to audio at one layer."""

    def __init__(self, dims: InteractionDims) -> None:
        super().__init__()
        self.audio_to_video = FusedKeyValue(dims.video_width, dims.video_heads, dims.audio_width)
        self.video_to_audio = FusedKeyValue(dims.audio_width, dims.audio_heads, dims.video_width)


class OviFusion(Interaction):
    """x <- x + o(attn(q, k_text, v_text) + attn(rope(q), rope(k_y), v_y)), with the same q and o for both.

    y is the other tower's state after its self-attention, before either update, behind a norm of its own; q comes
    from the pre-norm of the caption cross-attention, so timesteps do not modulate it. Queries and keys are turned as in
    the self-attentions: video tokens by frame, row and column; audio latents as the audio tower's ``positions`` say
    (Ovi's stand on the time axis of the video, so that simultaneous tokens agree in phase). It needs audio blocks with
    cross-attention (``CrossBlock``) and has the heads of the towers; ``interaction_heads`` has no effect on it.

    Args:
        dims: Passed by the model.
    """

    def __init__(self, dims: InteractionDims) -> None:
        super().__init__(dims)
        self.layers = nn.ModuleList(FusionLayer(dims) for _ in range(dims.depth))

    def plan(self, timeline: Timeline) -> Plan:
        """Every valid token sees every valid token of the other modality, at the towers' own positions."""
        audio = timeline.audio_mask[:, None, None]
        video = token_mask(timeline.video_mask, timeline.tokens_per_frame)[:, None, None]
        on_video = self._rotations(timeline, self.dims.video_width // self.dims.video_heads)
        on_audio = self._rotations(timeline, self.dims.audio_width // self.dims.audio_heads)
        return Plan(
            audio_to_video=Direction(bias=mask_bias(audio), query=on_video[0], key=on_video[1]),
            video_to_audio=Direction(bias=mask_bias(video), query=on_audio[1], key=on_audio[0]),
        )

    def within(self, layer: int, video: Tensor, audio: Tensor, plan: Plan) -> tuple[Within | None, Within | None]:
        """See the base."""
        at = self.layers[layer]
        assert isinstance(at, FusionLayer)
        in_video: Within = at.audio_to_video(audio, plan.audio_to_video)
        in_audio: Within = at.video_to_audio(video.flatten(1, 2), plan.video_to_audio)
        return in_video, in_audio

    def _rotations(self, timeline: Timeline, head_dim: int) -> tuple[Rotation, Rotation]:
        """Of the video tokens, (1, 1, T * S, E / 2), and of the audio latents, (1, 1, A, E / 2)."""
        device = timeline.video_lengths.device
        video = video_rotation(timeline.video_size, timeline.rows, timeline.columns, head_dim, device)
        latents = torch.arange(timeline.audio_size, device=device)[None]
        return video, self.dims.audio_positions.rotation(latents, head_dim)
