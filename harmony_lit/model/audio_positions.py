"""Rotary positions of the audio branch: on which clock audio latents stand, and which channels turn.

Shape legend: B batch, L tokens, E head width.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace

import torch
from torch import Tensor

from harmony_lit.geometry import Geometry
from harmony_lit.model.rope import Rotation, angles, rotation, time_rotation, video_axes


class AudioPositions(ABC):
    """Base: turns positions in audio latents into rotations.

    Args:
        geometry: Passed by the tower.
    """

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry

    @abstractmethod
    def rotation(self, latents: Tensor, head_dim: int) -> Rotation:
        """Rotations (B or 1, 1, L, E / 2) at ``latents`` (B or 1, L): positions in audio latents, any real values."""


class LatentPositions(AudioPositions):
    """One position for each audio latent, on all channels."""

    def rotation(self, latents: Tensor, head_dim: int) -> Rotation:
        """See the base."""
        return time_rotation(latents, head_dim)


class VideoTimePositions(AudioPositions):
    """Ovi's: audio latents stand on the time axis of the video tower, in latent frames.

    Only the channels that turn with time in the video's heads turn (22 of 64 pairs at E = 128), by the position times
    ``Geometry.rope_scale``. The scale is that of the clips that the tower was trained on, not of the clip at hand:
    Ovi keeps 0.19676, that of its 5 s clips, in its 10 s model, and weights that know one scale should keep it in
    experiments of another frame rate.

    Args:
        geometry: Passed by the tower; gives the rate of the audio latents.
        fps: Frames per second of the clips that the tower was trained on.
        frames: Pixel frames of those clips.
    """

    def __init__(self, geometry: Geometry, *, fps: float = 24.0, frames: int = 121) -> None:
        super().__init__(geometry)
        trained = replace(geometry, fps=fps)
        self.scale = trained.rope_scale(trained.latent_frames(frames))

    def rotation(self, latents: Tensor, head_dim: int) -> Rotation:
        """See the base."""
        time, rows, columns = video_axes(head_dim)
        still = torch.zeros_like(latents)
        return rotation(angles(latents.double() * self.scale, time), angles(still, rows), angles(still, columns))
