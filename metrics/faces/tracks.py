"""Faces of single frames joined to tracks, as ``joonson/syncnet_python`` joins them.

Shape legend: F' frames of a track.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from metrics.faces.detector import Boxes, Faces, iou


@dataclass(frozen=True, eq=False)
class Track:
    """One face over consecutive frames.

    Attributes:
        first_frame: Where it begins.
        boxes: (F', 4), one per frame; left, top, right and bottom in pixels.
        detections: Frames on which it was seen; its boxes on the others are interpolated.
    """

    first_frame: int
    boxes: Boxes
    detections: int

    def __len__(self) -> int:
        return len(self.boxes)

    @property
    def size_px(self) -> float:
        """Mean width or mean height, whichever is larger."""
        return float((self.boxes[:, 2:] - self.boxes[:, :2]).mean(axis=0).max())


def join_faces(found: Mapping[int, Faces], min_iou: float, max_gap: int) -> list[Track]:
    """Greedy tracks through the faces of one shot, in the order in which they begin.

    A track begins at the first face that no other has taken. It goes on with the face of a later frame that overlaps
    its last one most, if by more than ``min_iou``, and ends where there is none for more than ``max_gap`` frames.

    Args:
        found: Faces of each frame that was looked at, by frame.
        min_iou: Intersection over union that two boxes of a track, one after the other, must exceed.
        max_gap: Largest step in frames from one detection to the next.
    """
    left = {frame: list(found[frame].boxes) for frame in sorted(found)}
    tracks = []
    for start in left:
        while left[start]:
            tracks.append(_interpolated(_take_track(left, start, min_iou, max_gap)))
    return tracks


def _take_track(left: dict[int, list[Boxes]], start: int, min_iou: float, max_gap: int) -> dict[int, Boxes]:
    """Takes one track out of the faces that are ``left``, beginning with the most confident one of frame ``start``."""
    taken = {start: left[start].pop(0)}
    last = start
    for frame, boxes in left.items():
        if frame <= last or not boxes:
            continue
        if frame - last > max_gap:
            break
        overlaps = iou(taken[last][None], np.stack(boxes))[0]
        best = int(overlaps.argmax())
        if overlaps[best] > min_iou:
            taken[frame] = boxes.pop(best)
            last = frame
    return taken


def _interpolated(taken: Mapping[int, Boxes]) -> Track:
    """A box for every frame, on straight lines between those that were seen."""
    seen = np.array(list(taken))
    frames = np.arange(seen[0], seen[-1] + 1)
    corners = np.stack(list(taken.values())).T
    boxes = np.stack([np.interp(frames, seen, values) for values in corners], axis=1)
    return Track(int(seen[0]), boxes, len(taken))
