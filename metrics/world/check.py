"""How good the world's detectors and metrics are, on true clips that went through mp4.

``python -m metrics.world`` prints the table; the slow test asserts its bounds.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data.media import encode_mp4, read_clip
from data.world import WorldConfig, make_clip
from harmony_lit.containers import Annotation, Clip
from metrics.world.functional import caption_hits, count_matches, event_f1, f1, lag_s, lip_corr
from metrics.world.hearing import audible_events
from metrics.world.seeing import visual_events

Pair = tuple[Clip, Annotation]


@dataclass(frozen=True)
class DetectorCheck:
    """Detectors against annotations, and metrics on clips whose sound is their own or another clip's.

    Attributes:
        seen_f1: F1 of the visual events against the annotated ones.
        heard_f1: F1 of the audible events against the annotated ones.
        event_f1: The metric on true clips.
        event_f1_shuffled: The metric with the sound of another clip of the same category.
        lip_corr: The metric on true clips.
        lip_corr_shuffled: The metric with the sound of another clip of the same category.
        caption_accuracy: The metric on true clips.
        lag_s: Mean absolute lag of true clips.
        lag_s_shuffled: Mean absolute lag with the sound of another clip of the same category.
    """

    seen_f1: float
    heard_f1: float
    event_f1: float
    event_f1_shuffled: float
    lip_corr: float
    lip_corr_shuffled: float
    caption_accuracy: float
    lag_s: float
    lag_s_shuffled: float


def true_clips(count: int, config: WorldConfig | None = None) -> list[Pair]:
    """The first ``count`` validation clips of the world, after an mp4 round trip."""
    samples = [make_clip(index, "val", config or WorldConfig()) for index in range(count)]
    return [(read_clip(encode_mp4(s.clip), s.clip.fps, s.clip.sample_rate_hz), s.annotation) for s in samples]


def check_detectors(pairs: Sequence[Pair]) -> DetectorCheck:
    """Measures ``pairs``, and all of them again with the sound of the next clip of the same category."""
    striking = [pair for pair in pairs if pair[1].category != "speech"]
    talking = [pair for pair in pairs if pair[1].category != "ambient"]
    hits = np.sum([caption_hits(clip, note.category, note.attributes) for clip, note in pairs], axis=0)
    return DetectorCheck(
        seen_f1=_f1_against_truth((visual_events(clip), note) for clip, note in striking),
        heard_f1=_f1_against_truth((audible_events(clip), note) for clip, note in striking),
        event_f1=float(np.mean([event_f1(clip) for clip, _ in striking])),
        event_f1_shuffled=float(np.mean([event_f1(clip) for clip in shuffled(striking)])),
        lip_corr=float(np.mean([lip_corr(clip) for clip, _ in talking])),
        lip_corr_shuffled=float(np.mean([lip_corr(clip) for clip in shuffled(talking)])),
        caption_accuracy=float(hits[0] / hits[1]),
        lag_s=float(np.mean([abs(lag_s(clip)) for clip, _ in pairs])),
        lag_s_shuffled=float(np.mean([abs(lag_s(clip)) for clip in shuffled(pairs)])),
    )


def shuffled(pairs: Sequence[Pair]) -> list[Clip]:
    """Each picture with the sound of the next clip of its category."""
    clips = []
    for category in sorted({note.category for _, note in pairs}):
        same = [clip for clip, note in pairs if note.category == category]
        for picture, sound in zip(same, same[1:] + same[:1], strict=True):
            clips.append(Clip(picture.video, sound.audio, picture.fps, picture.sample_rate_hz))
    return clips


def _f1_against_truth(detected: Iterable[tuple[NDArray[np.float64], Annotation]]) -> float:
    matches = found = true = 0
    for times_s, annotation in detected:
        truth_s = [event["time_s"] for event in annotation.events]
        matches += count_matches(times_s, truth_s)
        found, true = found + len(times_s), true + len(truth_s)
    return f1(matches, found, true)
