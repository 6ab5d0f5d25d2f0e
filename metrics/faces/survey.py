"""What a source of faces finds in a clip, in numbers and as a picture, to judge it before its scores are believed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from harmony_lit.containers import Clip
from metrics.faces.base import FaceCrop
from metrics.faces.tracked import TrackedFaces


@dataclass(frozen=True)
class Survey:
    """What was found in one clip.

    Attributes:
        frames: Frames at 25 fps.
        tracks: Tracks, kept or not.
        kept: Tracks that are long and large enough.
        seen: Share of frames inside a track of at least a tenth of the clip.
        sizes_px: Mean size of each kept track; of the longest one if none is kept.
        longest: Detections of the longest track.
    """

    frames: int
    tracks: int
    kept: int
    seen: float
    sizes_px: tuple[float, ...]
    longest: int


def survey(clip: Clip, source: TrackedFaces) -> Survey:
    """Looks for faces in ``clip``."""
    tracks = source.all_tracks(clip)
    frames = max(1, round(len(clip.video) * 25 / clip.fps))
    kept = [track for track in tracks if source.keeps(track)]
    covered = np.zeros(frames, dtype=bool)
    for track in tracks:
        if track.detections * source.stride >= frames / 10:
            covered[track.first_frame : track.first_frame + len(track)] = True
    longest = max(tracks, key=lambda track: track.detections, default=None)
    return Survey(
        frames=frames,
        tracks=len(tracks),
        kept=len(kept),
        seen=float(covered.mean()),
        sizes_px=tuple(track.size_px for track in (kept or ([longest] if longest else []))),
        longest=longest.detections if longest else 0,
    )


def contact_sheet(crops: list[FaceCrop], columns: int = 8) -> Tensor:
    """A row of evenly spaced frames for each crop: -> (3, rows * size, columns * size) uint8."""
    rows = []
    for crop in crops:
        chosen = torch.linspace(0, len(crop.frames) - 1, columns).round().long()
        rows.append(torch.cat(list(crop.frames[chosen]), dim=-1))
    return torch.cat(rows, dim=-2)
