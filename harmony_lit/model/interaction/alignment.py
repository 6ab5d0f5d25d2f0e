"""How the two timelines are laid over each other: rotary positions, and the latent frame of each audio latent.

Shape legend: B batch, T latent frames, A audio latents.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from harmony_lit.geometry import Geometry
from harmony_lit.model.interaction.base import Timeline


@dataclass(frozen=True)
class Positions:
    """Rotary positions of both modalities on one timeline, each (B or 1, T) and (B or 1, A)."""

    video: Tensor
    audio: Tensor


@dataclass(frozen=True)
class Aligned:
    """An alignment of a batch.

    Attributes:
        on_video: Positions on the video's timeline (for A2V), in latent frames; None for no rotation.
        on_audio: Positions on the audio's timeline (for V2A), in audio latents; None for no rotation.
        frame_of_audio: (B, A) latent frame that each audio latent falls into, clamped to the clip.
    """

    on_video: Positions | None
    on_audio: Positions | None
    frame_of_audio: Tensor


class Alignment(Protocol):
    """Lays the timelines of a batch over each other."""

    def __call__(self, timeline: Timeline, geometry: Geometry) -> Aligned:
        """Positions and ownership for ``timeline`` at the rates of ``geometry``."""
        ...


def _indices(timeline: Timeline) -> tuple[Tensor, Tensor]:
    device = timeline.video_lengths.device
    return (
        torch.arange(timeline.video_size, device=device, dtype=torch.float64)[None],
        torch.arange(timeline.audio_size, device=device, dtype=torch.float64)[None],
    )


def _scales(timeline: Timeline, geometry: Geometry) -> Tensor:
    """``Tv / Ta`` of each sample, (B, 1): ``Geometry.rope_scale`` at the sample's own length."""
    table = torch.tensor(
        [geometry.rope_scale(n) for n in range(1, timeline.video_size + 1)],
        dtype=torch.float64,
        device=timeline.video_lengths.device,
    )
    return table[(timeline.video_lengths - 1).clamp(min=0)][:, None]


def _clamp_to_clip(frames: Tensor, timeline: Timeline) -> Tensor:
    last = (timeline.video_lengths - 1).clamp(min=0)[:, None]
    return torch.minimum(frames.long(), last)


class RatioAlignment:
    """The paper's (Sec. 3.2): j' = j * Tv / Ta for audio in A2V, i' = i * Ta / Tv for video in V2A.

    Ta counts the audio latents of the clip's duration unrounded, so that the scale comes from rates alone.
    """

    def __call__(self, timeline: Timeline, geometry: Geometry) -> Aligned:
        """See ``Alignment``."""
        video, audio = _indices(timeline)
        scale = _scales(timeline, geometry)
        return Aligned(
            on_video=Positions(video, audio * scale),
            on_audio=Positions(video / scale, audio),
            frame_of_audio=_clamp_to_clip((audio * scale + 1e-9).floor(), timeline),
        )


class SecondsAlignment:
    """Positions from true midpoints in seconds: honours that latent frame 0 holds one pixel frame, the others four."""

    def __call__(self, timeline: Timeline, geometry: Geometry) -> Aligned:
        """See ``Alignment``."""
        device = timeline.video_lengths.device
        video = geometry.video_midpoints_s(timeline.video_size, device)[None]
        audio = geometry.audio_midpoints_s(timeline.audio_size, device)[None]
        ends = geometry.video_edges_s(timeline.video_size, device)[1:]
        frames = torch.searchsorted(ends, audio.contiguous(), right=True)
        return Aligned(
            on_video=Positions(video * geometry.video_rate_hz, audio * geometry.video_rate_hz),
            on_audio=Positions(video * geometry.audio_rate_hz, audio * geometry.audio_rate_hz),
            frame_of_audio=_clamp_to_clip(frames, timeline),
        )


class NoAlignment:
    """Ablation: frame-wise windows as in ``RatioAlignment`` but no rotary positions."""

    def __call__(self, timeline: Timeline, geometry: Geometry) -> Aligned:
        """See ``Alignment``."""
        return Aligned(None, None, RatioAlignment()(timeline, geometry).frame_of_audio)
