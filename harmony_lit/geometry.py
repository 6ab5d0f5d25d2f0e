"""The arithmetic of rates: pixel frames, latent frames, audio latents, tokens, samples and seconds.

Every length in the project is derived here and nowhere else (``spec`` names: ``F`` pixel frames, ``Tv`` latent
frames, ``Ta`` audio latents). The video codec is causal: latent frame 0 holds one pixel frame and every later
one holds ``video_stride[0]`` of them, so ``F = 1 + 4k`` and ``Tv = 1 + (F - 1) / 4``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Geometry:
    """Rates and strides shared by the two modalities.

    Args:
        fps: Video frames per second.
        sample_rate_hz: Audio samples per second.
        video_stride: Pixels per latent of the video codec, as (frames, rows, columns).
        audio_hop: Audio samples per audio latent (512 at 16 kHz is 31.25 Hz).
        patch: Latents per video token, as (frames, rows, columns); the first must be 1.
    """

    fps: float = 25.0
    sample_rate_hz: int = 16_000
    video_stride: tuple[int, int, int] = (4, 16, 16)
    audio_hop: int = 512
    patch: tuple[int, int, int] = (1, 2, 2)

    def __post_init__(self) -> None:
        if self.fps <= 0 or self.sample_rate_hz <= 0 or self.audio_hop <= 0:
            raise ValueError("geometry: fps, sample_rate_hz and audio_hop must be positive")
        if self.patch[0] != 1:
            raise ValueError(
                f"geometry.patch: a token holds one latent frame, so patch[0] must be 1, not {self.patch[0]}"
            )

    @property
    def audio_rate_hz(self) -> float:
        """Audio latents per second."""
        return self.sample_rate_hz / self.audio_hop

    @property
    def video_rate_hz(self) -> float:
        """Latent frames per second, away from the first frame."""
        return self.fps / self.video_stride[0]

    # Lengths ---------------------------------------------------------------------------------------------------

    def latent_frames(self, frames: int) -> int:
        """Latent frames ``Tv`` of ``frames`` pixel frames.

        Raises:
            ValueError: If ``frames`` is not 1 + k * stride.
        """
        stride = self.video_stride[0]
        if frames < 1 or (frames - 1) % stride:
            below = max(1, frames - (frames - 1) % stride)
            raise ValueError(f"a clip has 1 + {stride}k frames; {frames} is not, the nearest below is {below}")
        return 1 + (frames - 1) // stride

    def pixel_frames(self, latent_frames: int) -> int:
        """Pixel frames ``F`` of ``latent_frames`` latent frames."""
        return 1 + (latent_frames - 1) * self.video_stride[0]

    def floor_frames(self, frames: int) -> int:
        """The largest valid frame count (1 + 4k) that is at most ``frames``."""
        if frames < 1:
            raise ValueError(f"a clip needs at least one frame, not {frames}")
        return frames - (frames - 1) % self.video_stride[0]

    def duration_s(self, frames: int) -> float:
        """Seconds that ``frames`` pixel frames last."""
        return frames / self.fps

    def samples(self, frames: int) -> int:
        """Audio samples beside ``frames`` pixel frames (rounded to the nearest)."""
        return round(frames * self.sample_rate_hz / self.fps)

    def audio_latents(self, frames: int) -> int:
        """Audio latents ``Ta`` beside ``frames`` pixel frames: the whole ones that fit (109 -> 136)."""
        return math.floor(frames * self.audio_rate_hz / self.fps + 1e-9)

    def audio_latents_of(self, duration_s: float) -> int:
        """Whole audio latents in ``duration_s`` seconds."""
        return math.floor(duration_s * self.audio_rate_hz + 1e-9)

    def latent_size(self, height: int, width: int) -> tuple[int, int]:
        """Latent rows and columns of a frame of ``height`` x ``width`` pixels.

        Raises:
            ValueError: If a side is not a multiple of stride * patch.
        """
        sizes = []
        for name, pixels, stride, patch in zip(
            ("height", "width"), (height, width), self.video_stride[1:], self.patch[1:], strict=True
        ):
            if pixels < 1 or pixels % (stride * patch):
                raise ValueError(f"{name} must be a multiple of {stride * patch} (stride x patch), not {pixels}")
            sizes.append(pixels // stride)
        return sizes[0], sizes[1]

    def token_grid(self, latent_height: int, latent_width: int) -> tuple[int, int]:
        """Video tokens per latent frame, as (rows, columns)."""
        return latent_height // self.patch[1], latent_width // self.patch[2]

    # Timelines -------------------------------------------------------------------------------------------------

    def rope_scale(self, latent_frames: int | None = None) -> float:
        """Latent frames per audio latent, ``Tv / Ta`` (Sec. 3.2): audio token j sits at ``j * rope_scale`` in A2V.

        ``Ta`` is the unrounded count of audio latents in the clip's duration, so the scale comes from rates alone:
        Ovi's 121 frames at 24 fps beside 31.25 Hz give 31 / (121 / 24 * 31.25) = 0.19676. Without ``latent_frames``
        it is the limit for long clips, ``(fps / 4) / audio_rate`` (NAVA: (24 / 4) / 25 = 0.24).
        """
        if latent_frames is None:
            return self.video_rate_hz / self.audio_rate_hz
        duration_s = self.duration_s(self.pixel_frames(latent_frames))
        return latent_frames / (duration_s * self.audio_rate_hz)

    def video_edges_s(self, latent_frames: int, device: torch.device | None = None) -> Tensor:
        """Start times in seconds of each latent frame, and the end of the last: shape (Tv + 1,).

        Latent frame 0 lasts one pixel frame, the others ``video_stride[0]``.
        """
        starts = 1 + (torch.arange(latent_frames, device=device, dtype=torch.float64)) * self.video_stride[0]
        zero = torch.zeros(1, device=device, dtype=torch.float64)
        return torch.cat([zero, starts]) / self.fps

    def video_midpoints_s(self, latent_frames: int, device: torch.device | None = None) -> Tensor:
        """Midpoint in seconds of each latent frame: shape (Tv,)."""
        edges = self.video_edges_s(latent_frames, device)
        return (edges[:-1] + edges[1:]) / 2

    def audio_midpoints_s(self, audio_latents: int, device: torch.device | None = None) -> Tensor:
        """Midpoint in seconds of each audio latent: shape (Ta,)."""
        return (torch.arange(audio_latents, device=device, dtype=torch.float64) + 0.5) / self.audio_rate_hz
