"""What of a clip is learned: picture and sound together, or the sound alone.

Shape legend: Tv latent frames, Ta audio latents.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch

from harmony_lit.errors import UserError
from harmony_lit.geometry import Geometry


@dataclass(frozen=True)
class Window:
    """The part of a clip to learn.

    Attributes:
        latent_frames: Latent frames from the first on; 0 for sound alone.
        start: First audio latent.
        stop: One past the last audio latent.
    """

    latent_frames: int
    start: int
    stop: int


class Target(Protocol):
    """Cuts clips to the part that is learned."""

    needs_video: bool

    def window(self, latent_frames: int, audio_latents: int, geometry: Geometry, generator: torch.Generator) -> Window:
        """The part of a clip of Tv latent frames and Ta audio latents."""
        ...

    def shortened(self, window: Window, stop: int, geometry: Geometry) -> Window:
        """The window that ends at audio latent ``stop`` at the latest, as a reference takes what follows."""
        ...


class JointTarget:
    """Picture and sound from the clip's beginning: the codec's first latent frame is unlike the others.

    Args:
        max_latent_frames: Most latent frames; longer clips are cut. None for whole clips.
    """

    needs_video = True

    def __init__(self, max_latent_frames: int | None = None) -> None:
        if max_latent_frames is not None and max_latent_frames < 1:
            raise UserError(f"JointTarget.max_latent_frames must be at least 1, not {max_latent_frames}")
        self.max_latent_frames = max_latent_frames

    def window(self, latent_frames: int, audio_latents: int, geometry: Geometry, generator: torch.Generator) -> Window:
        """All frames up to the limit, and the audio latents beside them."""
        frames = min(latent_frames, self.max_latent_frames or latent_frames)
        stop = audio_latents if frames == latent_frames else geometry.audio_latents(geometry.pixel_frames(frames))
        return Window(frames, 0, min(stop, audio_latents))

    def shortened(self, window: Window, stop: int, geometry: Geometry) -> Window:
        """The most whole latent frames whose sound ends by ``stop``; at least the first."""
        frames = window.latent_frames
        while frames > 1 and geometry.audio_latents(geometry.pixel_frames(frames)) > stop:
            frames -= 1
        return Window(frames, 0, min(stop, geometry.audio_latents(geometry.pixel_frames(frames))))


class AudioTarget:
    """Sound alone (stages 1 and 2): no video latent is read.

    Args:
        max_s: Longest target in seconds; of longer clips a random part is taken.
    """

    needs_video = False

    def __init__(self, max_s: float = 10.0) -> None:
        if max_s <= 0:
            raise UserError(f"AudioTarget.max_s must be positive, not {max_s}")
        self.max_s = max_s

    def window(self, latent_frames: int, audio_latents: int, geometry: Geometry, generator: torch.Generator) -> Window:
        """All of the sound, or a random part of ``max_s``."""
        length = min(audio_latents, max(1, geometry.audio_latents_of(self.max_s)))
        start = int(torch.randint(0, audio_latents - length + 1, (), generator=generator))
        return Window(0, start, start + length)

    def shortened(self, window: Window, stop: int, geometry: Geometry) -> Window:
        """The same start, the earlier end."""
        return Window(0, window.start, stop)
