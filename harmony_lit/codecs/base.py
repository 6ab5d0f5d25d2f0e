"""Protocols of the codecs that turn pixels and samples into normalised latents and back."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from torch import Tensor


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
    """Mono samples to latents of ``hop`` samples each, normalised per channel."""

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
