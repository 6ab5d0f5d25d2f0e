"""Haar cascades (Viola and Jones 2001): frontal faces, with what OpenCV's own wheel brings."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from torch import Tensor

from metrics.faces.detector import FaceDetector, Faces
from metrics.networks import shared

_CASCADE = "haarcascade_frontalface_alt2.xml"


@dataclass(frozen=True)
class Haar(FaceDetector):
    """OpenCV's cascade for upright frontal faces; it needs no weights, and misses faces that turn away or lean.

    Args:
        min_face_px: Smallest face that is looked for; smaller takes longer.
        neighbours: Overlapping hits that make a face.
        step: Ratio of one size of face to the next.
    """

    min_face_px: int = 60
    neighbours: int = 5
    step: float = 1.2

    def describe(self) -> str:
        """See the base."""
        return (
            f"OpenCV's Haar cascade ({_CASCADE.removesuffix('.xml')}, faces from {self.min_face_px} px, "
            f"{self.neighbours} neighbours, steps of {self.step:g})"
        )

    def missing(self) -> str | None:
        """See the base."""
        found = _cascade_file()
        return None if found and found.is_file() else "OpenCV 4, whose package holds the Haar cascades (5 does not)"

    def detect(self, video: Tensor) -> list[Faces]:
        """See the base."""
        cascade = shared(_load_cascade)
        frames = video.permute(0, 2, 3, 1).contiguous().cpu().numpy()
        return [self._detect(cascade, cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)) for frame in frames]

    def _detect(self, cascade: cv2.CascadeClassifier, grey: np.ndarray) -> Faces:
        corners, _, confidences = cascade.detectMultiScale3(
            grey,
            scaleFactor=self.step,
            minNeighbors=self.neighbours,
            minSize=(self.min_face_px, self.min_face_px),
            outputRejectLevels=True,
        )
        if not len(corners):
            return Faces.none()
        boxes = np.asarray(corners, np.float64)
        boxes[:, 2:] += boxes[:, :2]
        return Faces.sorted(boxes, np.asarray(confidences, np.float64).reshape(-1))


def _cascade_file() -> Path | None:
    folder = getattr(getattr(cv2, "data", None), "haarcascades", None)
    return Path(folder) / _CASCADE if folder else None


def _load_cascade() -> cv2.CascadeClassifier:
    return cv2.CascadeClassifier(str(_cascade_file()))
