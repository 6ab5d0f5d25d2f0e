"""What travels between the rooms: clips, annotations, latents, conditions, batches and predictions.

Shape legend: B batch, F pixel frames, Tv latent frames, Ta audio latents, C latent channels, H W rows and columns,
L text tokens, D embedding width, S audio samples.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import torch
from torch import Tensor


def length_mask(lengths: Tensor, size: int) -> Tensor:
    """True where a position lies inside its sample: lengths (B,) -> (B, size)."""
    return torch.arange(size, device=lengths.device)[None] < lengths[:, None]


class Movable:
    """Adds ``.to()`` to frozen dataclasses of tensors and other movables."""

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Self:
        """A copy on ``device``; ``dtype`` is applied to floating tensors only."""

        def move(value: Any) -> Any:
            if isinstance(value, Tensor):
                return value.to(device=device, dtype=dtype if value.is_floating_point() else None)
            return value.to(device, dtype) if isinstance(value, Movable) else value

        values = {f.name: move(getattr(self, f.name)) for f in dataclasses.fields(self)}  # type: ignore[arg-type]
        return dataclasses.replace(self, **values)  # type: ignore[type-var]


@dataclass(frozen=True)
class Annotation:
    """What is known of a clip, as stored in a shard's ``.json``.

    Attributes:
        key: Unique name of the clip.
        category: ``ambient``, ``speech`` or ``complex`` (the three subsets of Harmony-Bench).
        video_caption: What is seen; empty if unknown.
        audio_caption: What is heard besides speech; empty if unknown.
        transcript: What is said; empty if nothing is.
        speaker: Identity of the speaker, if any.
        events: Audible and visible events as dicts with ``time_s`` and ``label`` (world clips know them exactly).
        phonemes: Dicts with ``start_s``, ``end_s`` and ``phoneme``.
        attributes: Anything else that a metric may ask for (world: material, shape, size, voice ...).
    """

    key: str
    category: str
    video_caption: str = ""
    audio_caption: str = ""
    transcript: str = ""
    speaker: str | None = None
    events: tuple[dict[str, Any], ...] = ()
    phonemes: tuple[dict[str, Any], ...] = ()
    attributes: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """A plain dict for ``json.dumps``."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Annotation:
        """Reads ``to_json``'s dict; unknown keys are ignored so that foreign shards may carry more."""
        known = {f.name for f in dataclasses.fields(cls)}
        kept = {k: v for k, v in values.items() if k in known}
        for name in ("events", "phonemes"):
            kept[name] = tuple(kept.get(name) or ())
        return cls(**kept)


@dataclass(frozen=True)
class Clip(Movable):
    """A decoded clip.

    Attributes:
        video: (F, 3, H, W) uint8, RGB.
        audio: (S,) float32 in [-1, 1], mono.
        fps: Frames per second of ``video``.
        sample_rate_hz: Samples per second of ``audio``.
    """

    video: Tensor
    audio: Tensor
    fps: float
    sample_rate_hz: int

    @property
    def duration_s(self) -> float:
        """Seconds of picture."""
        return self.video.shape[0] / self.fps


@dataclass(frozen=True)
class VideoLatents(Movable):
    """``x`` (B, C, Tv, H, W) float, ``lengths`` (B,) valid latent frames; ``ragged`` is False if all fill Tv.

    ``ragged`` is known where the batch is made, so that no mask is built, and no device waited for, without need.
    """

    x: Tensor
    lengths: Tensor
    ragged: bool = True

    @property
    def mask(self) -> Tensor:
        """(B, Tv), True where valid."""
        return length_mask(self.lengths, self.x.shape[2])

    def with_x(self, x: Tensor) -> VideoLatents:
        """The same lengths around other values."""
        return VideoLatents(x, self.lengths, self.ragged)


@dataclass(frozen=True)
class AudioLatents(Movable):
    """``x`` (B, C, Ta) float, ``lengths`` (B,) valid audio latents; ``ragged`` as for video."""

    x: Tensor
    lengths: Tensor
    ragged: bool = True

    @property
    def mask(self) -> Tensor:
        """(B, Ta), True where valid."""
        return length_mask(self.lengths, self.x.shape[2])

    def with_x(self, x: Tensor) -> AudioLatents:
        """The same lengths around other values."""
        return AudioLatents(x, self.lengths, self.ragged)


@dataclass(frozen=True)
class TextEmbeds(Movable):
    """Caption embeddings: ``x`` (B, L, D) float, ``mask`` (B, L) bool. The empty caption has at least one token."""

    x: Tensor
    mask: Tensor

    @classmethod
    def padded(cls, rows: Sequence[Tensor], dim: int) -> Self:
        """Embeddings (L, D) of single captions -> float32 (B, longest L, D) with zeros behind each, and their mask."""
        lengths = torch.tensor([row.shape[0] for row in rows], dtype=torch.long)
        x = torch.zeros(len(rows), max([1, *lengths.tolist()]), dim)
        for index, row in enumerate(rows):
            x[index, : row.shape[0]] = row
        return cls(x, length_mask(lengths, x.shape[1]))


@dataclass(frozen=True)
class TokenIds(Movable):
    """Transcript characters: ``ids`` (B, L) long, ``mask`` (B, L) bool; no valid token means no transcript."""

    ids: Tensor
    mask: Tensor


@dataclass(frozen=True)
class Conditions(Movable):
    """What the model is told. Nothing is ever missing as a field of the batch: absence is per sample.

    Attributes:
        video_caption: (B, Lv, D) embeddings; an absent caption is the embedding of the empty string.
        audio_caption: (B, La, D) likewise.
        transcript: (B, Lt) character ids; absent where the mask is all False.
        reference_audio: (B, C, Tr); absent where the length is 0 (the model then uses its learned null reference).
        reference_image: (B, C, H, W), the first latent frame to hold clean.
        has_image: (B,) bool, whether the reference image is given.
    """

    video_caption: TextEmbeds
    audio_caption: TextEmbeds
    transcript: TokenIds
    reference_audio: AudioLatents
    reference_image: Tensor
    has_image: Tensor


@dataclass(frozen=True)
class Batch(Movable):
    """Clean latents of B clips and their conditions.

    Attributes:
        video: None in audio-only data.
        audio: The sound's latents.
        conditions: Captions, transcript, references.
        annotations: What is known of each clip.
        silence: The codec's encoding of digital silence, (C, Ta) with ``audio``'s Ta; None if the data has none.
    """

    video: VideoLatents | None
    audio: AudioLatents
    conditions: Conditions
    annotations: Sequence[Annotation] = ()
    silence: Tensor | None = None

    def __len__(self) -> int:
        return self.audio.x.shape[0]


@dataclass(frozen=True)
class Prediction(Movable):
    """Velocities (eps - x0): ``video`` (B, C, Tv, H, W) and ``audio`` (B, C, Ta); None where not asked for."""

    video: Tensor | None
    audio: Tensor | None
