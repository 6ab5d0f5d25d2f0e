"""How good a SyncNet is on true clips: does it read shifts, does it tell true from foreign sound?

``python -m metrics.sync`` prints the table for the world's; the slow test asserts its bounds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np
import torch
from torch import Tensor

from harmony_lit.containers import Clip
from metrics.faces.base import FaceSource
from metrics.rates import samples_at
from metrics.sync.features import crop_sound, hear, see, window_count
from metrics.sync.mfcc import SAMPLE_RATE_HZ
from metrics.sync.network import WINDOW_FRAMES, SyncNet
from metrics.sync.score import SyncScore, sync_score


@dataclass(frozen=True)
class SyncCheck:
    """A SyncNet on true clips, on the same with their sound shifted, and with the sound of the next.

    Attributes:
        exact: Share of the shifted clips whose offset is read to the frame.
        within_one: Share that is read to within one frame.
        confidence: Mean Sync-C of the true clips.
        confidence_shuffled: With foreign sound.
        distance: Mean Sync-D of the true clips.
        distance_shuffled: With foreign sound.
        confidence_auc: Chance that a true clip has a higher Sync-C than one with foreign sound.
        distance_auc: Chance that a true clip has a lower Sync-D than one with foreign sound.
    """

    exact: float
    within_one: float
    confidence: float
    confidence_shuffled: float
    distance: float
    distance_shuffled: float
    confidence_auc: float
    distance_auc: float


def with_lead(audio: Tensor, frames: int, samples_per_frame: int = 640) -> Tensor:
    """Sound (S,) that comes so many frames earlier, or later if negative, as long as before; silence moves in."""
    moved = torch.zeros_like(audio)
    n = frames * samples_per_frame
    if n >= 0:
        moved[: len(audio) - n] = audio[n:]
    else:
        moved[-n:] = audio[:n]
    return moved


def auc(higher: Sequence[float], lower: Sequence[float]) -> float:
    """Chance that one of ``higher`` exceeds one of ``lower``; a tie counts half."""
    a, b = np.asarray(higher)[:, None], np.asarray(lower)[None]
    return float(((a > b) + 0.5 * (a == b)).mean())


def check_sync(
    network: SyncNet, clips: Sequence[Clip], faces: FaceSource, leads: Sequence[int] = range(-6, 7)
) -> SyncCheck:
    """Measures a network on true clips of one kind, each long enough and with at least one face.

    Args:
        network: The network, in evaluation.
        clips: True clips; the sound of each is laid under the one before, too.
        faces: Where faces come from; the first of each clip is taken.
        leads: Frames by which the sound is put ahead.
    """
    crops = [faces.crops(clip, network.size)[0] for clip in clips]
    sounds = [crop_sound(crop, samples_at(clip, SAMPLE_RATE_HZ)) for crop, clip in zip(crops, clips, strict=True)]
    lips = [see(network, crop.frames, len(crop.frames) - WINDOW_FRAMES) for crop in crops]

    def scored(index: int, sound: Tensor) -> SyncScore:
        count = window_count(len(crops[index].frames), len(sound))
        return sync_score(lips[index][:count], hear(network, sound, count))

    true = [scored(index, sound) for index, sound in enumerate(sounds)]
    foreign = [scored(index, sounds[(index + 1) % len(sounds)]) for index in range(len(sounds))]
    errors = [
        abs(scored(index, with_lead(sound, lead)).offset_frames - lead)
        for index, sound in enumerate(sounds)
        for lead in leads
    ]
    return SyncCheck(
        exact=fmean(error == 0 for error in errors),
        within_one=fmean(error <= 1 for error in errors),
        confidence=fmean(score.confidence for score in true),
        confidence_shuffled=fmean(score.confidence for score in foreign),
        distance=fmean(score.distance for score in true),
        distance_shuffled=fmean(score.distance for score in foreign),
        confidence_auc=auc([score.confidence for score in true], [score.confidence for score in foreign]),
        distance_auc=auc([-score.distance for score in true], [-score.distance for score in foreign]),
    )
