"""Protocols of the codecs that turn pixels and samples into normalised latents and back."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from torch import Tensor

from harmony_lit.errors import UserError


@runtime_checkable
class VideoCodec(Protocol):
    """Pixels to latents with ``stride`` (frames, rows, columns); the first frame stands alone (F = 1 + 4k).

    Latents are normalised per channel to about zero mean and unit variance by the codec's own statistics.
    """

    channels: int
    stride: tuple[int, int, int]

    @property
    def fingerprint(self) -> str:
        """Hex digest of class, settings and weights: latents of another codec must never be used silently."""
        ...

    def encode(self, video: Tensor) -> Tensor:
        """(B, 3, F, H, W) in [-1, 1] -> (B, C, Tv, H / 16, W / 16), normalised; deterministic."""
        ...

    def decode(self, latents: Tensor) -> Tensor:
        """The inverse of ``encode``; output clamped to [-1, 1]."""
        ...


@runtime_checkable
class AudioCodec(Protocol):
    """Mono samples to latents of ``hop`` samples each, normalised per channel unless the codec is told not to."""

    channels: int
    hop: int
    sample_rate_hz: int

    @property
    def fingerprint(self) -> str:
        """Hex digest of class, settings and weights."""
        ...

    def encode(self, audio: Tensor) -> Tensor:
        """(B, S) in [-1, 1] -> (B, C, S // hop), normalised; deterministic."""
        ...

    def decode(self, latents: Tensor) -> Tensor:
        """(B, C, Ta) -> (B, Ta * hop) in [-1, 1]."""
        ...


def check_clip(video: Tensor, stride: tuple[int, int, int]) -> None:
    """Raises a ``UserError`` if a video (B, 3, F, H, W) has no whole latents, F = 1 + k * stride."""
    frames, height, width = video.shape[2:]
    if (frames - 1) % stride[0] or height % stride[1] or width % stride[2]:
        raise UserError(
            f"the video codec takes 1 + {stride[0]}k frames with sides that are multiples of {stride[1]}, "
            f"not {frames} of {height} x {width}"
        )
