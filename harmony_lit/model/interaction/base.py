"""What every interaction between the branches has in common: what it is told, and where it may take place.

Shape legend: B batch, T latent frames, S = rows * columns video tokens per latent frame, A noisy audio latents,
Dv Da widths.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from harmony_lit.containers import length_mask
from harmony_lit.geometry import Geometry
from harmony_lit.model.audio_positions import AudioPositions
from harmony_lit.model.layers import Within
from harmony_lit.model.rope import Rotation


@dataclass(frozen=True)
class InteractionDims:
    """What the model tells its interaction.

    Attributes:
        video_width: Dv.
        audio_width: Da.
        heads: Heads of attentions that the interaction adds.
        depth: Layers of both towers.
        geometry: Gives the rates.
        video_heads: Heads of the video tower, for interactions that take part in its attentions.
        audio_heads: Heads of the audio tower.
        audio_positions: Rotary positions of the audio tower.
    """

    video_width: int
    audio_width: int
    heads: int
    depth: int
    geometry: Geometry
    video_heads: int
    audio_heads: int
    audio_positions: AudioPositions


@dataclass(frozen=True)
class Timeline:
    """The extent of a batch.

    Attributes:
        video_lengths: (B,) valid latent frames.
        audio_lengths: (B,) valid audio latents.
        video_size: T, what the video is padded to.
        audio_size: A, what the audio is padded to.
        rows: Rows of video tokens in a latent frame.
        columns: Columns of them.
    """

    video_lengths: Tensor
    audio_lengths: Tensor
    video_size: int
    audio_size: int
    rows: int
    columns: int

    @property
    def tokens_per_frame(self) -> int:
        """S."""
        return self.rows * self.columns

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


class Interaction(nn.Module, ABC):
    """Base of the interactions, which take place within the towers' cross-attentions, after them, or both.

    At each layer the model asks ``within`` after both self-attentions, and calls the interaction after both
    cross-attentions. A subclass overrides what it needs; what it leaves alone changes nothing.

    Args:
        dims: Passed by the model.
    """

    def __init__(self, dims: InteractionDims) -> None:
        super().__init__()
        self.dims = dims

    @abstractmethod
    def plan(self, timeline: Timeline) -> Plan:
        """Who attends to whom, once per forward pass."""

    def within(self, layer: int, video: Tensor, audio: Tensor, plan: Plan) -> tuple[Within | None, Within | None]:
        """What takes place inside the cross-attentions to the text of layer ``layer``.

        Args:
            layer: Index of the layer.
            video: (B, T, S, Dv), after self-attention.
            audio: Noisy audio tokens (B, A, Da), after self-attention.
            plan: From ``plan``.

        Returns:
            For the video's and for the audio's cross-attention; None where nothing does.
        """
        return None, None

    def forward(self, layer: int, video: Tensor, audio: Tensor, plan: Plan) -> tuple[Tensor, Tensor]:
        """Both states after what takes place behind the cross-attentions of layer ``layer``.

        Args:
            layer: Index of the layer.
            video: (B, T, S, Dv).
            audio: Noisy audio tokens (B, A, Da).
            plan: From ``plan``.
        """
        return video, audio


def token_mask(mask: Tensor, tokens_per_frame: int) -> Tensor:
    """(..., T) over frames -> (..., T * S) over video tokens."""
    return torch.repeat_interleave(mask, tokens_per_frame, dim=-1)
