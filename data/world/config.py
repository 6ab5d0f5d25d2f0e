"""What a synthetic world is asked for, and what it gives back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from harmony_lit.containers import Annotation, Clip
from harmony_lit.errors import UserError

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")
CATEGORIES = ("ambient", "speech", "complex")


@dataclass(frozen=True)
class WorldConfig:
    """Settings of the world; together with a split and an index they decide every byte of a clip.

    Args:
        seed: Which world: other seeds give other clips.
        size: Height and width of the picture in pixels, a multiple of 32.
        frames: Pixel frames per clip, 1 + 4k.
        fps: Video frames per second.
        sample_rate_hz: Audio samples per second.

    Raises:
        UserError: If a value cannot make a clip.
    """

    seed: int = 0
    size: int = 64
    frames: int = 61
    fps: float = 25.0
    sample_rate_hz: int = 16_000

    def __post_init__(self) -> None:
        if self.size < 32 or self.size % 32:
            raise UserError(f"world size must be a positive multiple of 32 pixels, not {self.size}")
        if self.frames < 1 or (self.frames - 1) % 4:
            raise UserError(f"world frames must be 1 + 4k (such as 61), not {self.frames}")
        if self.fps <= 0:
            raise UserError(f"world fps must be positive, not {self.fps}")
        if self.sample_rate_hz < 8_000:
            raise UserError(f"world sample_rate_hz must be at least 8000 to hold the sounds, not {self.sample_rate_hz}")
        if self.duration_s < 1.5:
            raise UserError(
                f"world clips must last at least 1.5 s to hold an event, not {self.duration_s:.2f} s: "
                "raise frames or lower fps"
            )

    @property
    def duration_s(self) -> float:
        """Seconds per clip."""
        return self.frames / self.fps

    @property
    def samples(self) -> int:
        """Audio samples per clip."""
        return round(self.frames * self.sample_rate_hz / self.fps)


@dataclass(frozen=True)
class WorldSample:
    """One clip of the world and all that is known of it.

    Attributes:
        clip: Picture and sound.
        reference: (S,) float32, another utterance of the same voice or another take of the same object.
        annotation: Captions, transcript, events, phonemes and attributes.
    """

    clip: Clip
    reference: Tensor
    annotation: Annotation
