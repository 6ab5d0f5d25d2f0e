"""Stored samples to a padded batch: the target's window, the reference, what is dropped, in float32.

Shape legend: B batch, C latent channels, Tv latent frames, Ta audio latents, Tr latents of the reference,
H W rows and columns, L tokens, D width.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from data.reference import ReferencePolicy, ReferenceQuery
from data.store import StoredLatents
from data.targets import Target, Window
from harmony_lit.containers import (
    Annotation,
    AudioLatents,
    Batch,
    Conditions,
    TextEmbeds,
    VideoLatents,
)
from harmony_lit.encoders.base import TranscriptTokenizer
from harmony_lit.errors import UserError
from harmony_lit.geometry import Geometry


@dataclass(frozen=True)
class ConditionDropout:
    """Probabilities that a sample goes without a condition in training, each drawn by itself.

    Args:
        video_caption: Replaced by the embedding of the empty caption.
        audio_caption: Likewise.
        transcript: No characters.
        reference_audio: No reference; the model's null reference stands in.
        reference_image: The first frame is generated too.
    """

    video_caption: float = 0.1
    audio_caption: float = 0.1
    transcript: float = 0.1
    reference_audio: float = 0.1
    reference_image: float = 0.5

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            if not 0 <= getattr(self, field.name) <= 1:
                raise UserError(f"dropout.{field.name} is a probability, not {getattr(self, field.name)}")

    def draw(self, generator: torch.Generator) -> dict[str, bool]:
        """Which conditions this sample goes without."""
        drawn = torch.rand(len(self.__dict__), generator=generator).tolist()
        return {name: value < share for value, (name, share) in zip(drawn, self.__dict__.items(), strict=True)}


NO_DROPOUT = ConditionDropout(0.0, 0.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Example:
    """One sample of a batch, cut but not padded: ``video`` (C, Tv, H, W), ``audio`` (C, Ta), ``reference`` (C, Tr)."""

    video: Tensor | None
    audio: Tensor
    reference: Tensor
    video_caption: Tensor
    audio_caption: Tensor
    transcript: str
    has_image: bool
    annotation: Annotation


class Assembler:
    """Makes examples and batches; all that it draws comes from the generators it is given.

    Args:
        geometry: Rates of the latents.
        target: What of a clip is learned.
        reference: Where the timbre comes from.
        dropout: How often conditions are missing.
        tokenizer: Transcripts to ids.
        empty_caption: (L, D) embedding of the empty caption.
        image_shape: (C, H, W) of a latent frame, for batches without video.
        silence: (C, T) encoding of digital silence, as long as the longest sample.
    """

    def __init__(
        self,
        geometry: Geometry,
        target: Target,
        reference: ReferencePolicy,
        dropout: ConditionDropout,
        tokenizer: TranscriptTokenizer,
        empty_caption: Tensor,
        image_shape: tuple[int, int, int],
        silence: Tensor,
    ) -> None:
        self.geometry = geometry
        self.target = target
        self.reference = reference
        self.dropout = dropout
        self.tokenizer = tokenizer
        self.empty_caption = empty_caption
        self.image_shape = image_shape
        self.silence = silence

    def example(self, stored: StoredLatents, generator: torch.Generator) -> Example:
        """Cuts one sample and draws its conditions."""
        dropped = self.dropout.draw(generator)
        annotation = stored.annotation
        frames = 0 if stored.video is None else stored.video.shape[1]
        window = self.target.window(frames, stored.audio.shape[1], self.geometry, generator)
        speech = bool(annotation.transcript or annotation.speaker)
        rate = self.geometry.audio_rate_hz
        query = ReferenceQuery(stored.audio, stored.reference, window.start, window.stop, speech, rate)
        chosen = self.reference(query, generator)
        reference = chosen.latents[:, :0] if dropped["reference_audio"] else chosen.latents
        if chosen.stop < window.stop:
            # Also where the reference was dropped, so that the lengths seen do not tell of it.
            window = self.target.shortened(window, chosen.stop, self.geometry)
        return Example(
            video=None if stored.video is None else stored.video[:, : window.latent_frames],
            audio=stored.audio[:, window.start : window.stop],
            reference=reference,
            video_caption=self.empty_caption if dropped["video_caption"] else stored.video_caption,
            audio_caption=self.empty_caption if dropped["audio_caption"] else stored.audio_caption,
            transcript="" if dropped["transcript"] else annotation.transcript,
            has_image=stored.video is not None and not dropped["reference_image"],
            annotation=_within(annotation, window, stored.audio.shape[1], rate),
        )

    def batch(self, examples: Sequence[Example]) -> Batch:
        """Pads examples to the longest of each kind."""
        video, images = None, torch.zeros(len(examples), *self.image_shape)
        if self.target.needs_video:
            videos = [example.video for example in examples if example.video is not None]
            frames, lengths, ragged = _padded(videos)
            video = VideoLatents(frames, lengths, ragged)
            images = frames[:, :, 0].clone()
        width = self.empty_caption.shape[1]
        conditions = Conditions(
            video_caption=TextEmbeds.padded([example.video_caption for example in examples], width),
            audio_caption=TextEmbeds.padded([example.audio_caption for example in examples], width),
            transcript=self.tokenizer.encode_batch([example.transcript for example in examples]),
            reference_audio=AudioLatents(*_padded([example.reference for example in examples])),
            reference_image=images,
            has_image=torch.tensor([example.has_image for example in examples]),
        )
        audio = AudioLatents(*_padded([example.audio for example in examples]))
        annotations = tuple(example.annotation for example in examples)
        return Batch(video, audio, conditions, annotations, self.silence[:, : audio.x.shape[2]])


def _padded(tensors: Sequence[Tensor]) -> tuple[Tensor, Tensor, bool]:
    """Tensors (C, T, ...) -> float32 (B, C, longest T, ...) with zeros behind, lengths (B,), whether they differ."""
    lengths = [tensor.shape[1] for tensor in tensors]
    size = max(lengths)
    ragged = min(lengths) < size
    first = tensors[0]
    make = torch.zeros if ragged else torch.empty
    out = make(len(tensors), first.shape[0], size, *first.shape[2:])
    for row, tensor in enumerate(tensors):
        out[row, :, : tensor.shape[1]] = tensor
    return out, torch.tensor(lengths), ragged


def _within(annotation: Annotation, window: Window, audio_latents: int, rate_hz: float) -> Annotation:
    """The annotation with the events and phonemes of the window alone, timed from its start."""
    if (window.start, window.stop) == (0, audio_latents):
        return annotation
    start_s, stop_s = window.start / rate_hz, window.stop / rate_hz
    events = tuple(
        {**event, "time_s": event["time_s"] - start_s}
        for event in annotation.events
        if start_s <= event["time_s"] < stop_s
    )
    phonemes = tuple(
        {**phoneme, "start_s": phoneme["start_s"] - start_s, "end_s": phoneme["end_s"] - start_s}
        for phoneme in annotation.phonemes
        if start_s <= phoneme["start_s"] and phoneme["end_s"] <= stop_s
    )
    return dataclasses.replace(annotation, events=events, phonemes=phonemes)
