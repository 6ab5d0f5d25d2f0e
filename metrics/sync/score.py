"""Sync-C, Sync-D and offset from features: the distance of picture and sound, averaged over time, at every offset.

Shape legend: N windows, D feature width, K = 2 vshift + 1 offsets.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

VSHIFT = 15
"""Offsets that are tried to each side, in frames, as published."""
_EPS = 1e-6


@dataclass(frozen=True)
class SyncScore:
    """How well a picture and a sound go together.

    Attributes:
        confidence: Sync-C, the median of the distances minus their least; higher is better.
        distance: Sync-D, the least of the distances; lower is better.
        offset_frames: Where the least is; positive where the sound leads, and n frames of delay would put it right.
        offsets_frames: All offsets that were tried, ascending.
        distances: Mean distance over time at each.
    """

    confidence: float
    distance: float
    offset_frames: int
    offsets_frames: tuple[int, ...]
    distances: tuple[float, ...]


def offset_distances(lips: Tensor, sounds: Tensor, vshift: int = VSHIFT) -> Tensor:
    """Mean distance between windows of the picture and those of the sound, at every offset.

    Beyond its ends the sound has features of zeros, as published.

    Args:
        lips: (N, D), of the picture.
        sounds: (N, D).
        vshift: Offsets to each side.

    Returns:
        (K,): entry k compares window n of the picture with window n + k - vshift of the sound.
    """
    padded = F.pad(sounds, (0, 0, vshift, vshift))
    shifted = (padded[k : k + len(lips)] for k in range(2 * vshift + 1))
    return torch.stack([F.pairwise_distance(lips, at_offset, eps=_EPS).mean() for at_offset in shifted])


def sync_score(lips: Tensor, sounds: Tensor, vshift: int = VSHIFT) -> SyncScore:
    """Sync-C, Sync-D and offset of features (N, D) and (N, D); see ``offset_distances``."""
    distances = offset_distances(lips.float(), sounds.float(), vshift)
    least, index = distances.min(dim=0)
    return SyncScore(
        confidence=float(distances.median() - least),
        distance=float(least),
        offset_frames=vshift - int(index),
        offsets_frames=tuple(range(-vshift, vshift + 1)),
        distances=tuple(distances.flip(0).tolist()),
    )
