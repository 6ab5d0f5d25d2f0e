"""YuNet (Wu et al., "YuNet: A Tiny Millisecond-level Face Detector", 2023), run by OpenCV."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from torch import Tensor

from harmony_lit.errors import UserError
from metrics.faces.detector import FaceDetector, Faces
from metrics.networks import absent, name_of, shared

_NMS_IOU = 0.3
_BEFORE_NMS = 5000


@dataclass(frozen=True)
class YuNet(FaceDetector):
    """A network of 76 thousand parameters, fast on a CPU; sees faces from most sides.

    Args:
        weights: The ONNX file: ``face_detection_yunet_2023mar.onnx`` of OpenCV's model zoo, which is
            ``yunet_s_640_640.onnx`` of ShiqiYu/libfacedetection.train; pictures of any size go in.
        confidence: Faces below this are dropped.
        scale: What the sides of a picture are multiplied by before the network sees it. The smallest
            faces that it can see are about 10 pixels wide then.
    """

    weights: str | None = None
    confidence: float = 0.7
    scale: float = 0.5

    def describe(self) -> str:
        """See the base."""
        settings = f"confidence {self.confidence:g}, pictures scaled by {self.scale:g}, NMS IoU {_NMS_IOU}"
        return f"YuNet ({name_of(self.weights)}, {settings})"

    def missing(self) -> str | None:
        """See the base."""
        return absent(self.weights, "YuNet's ONNX file (face_detection_yunet_2023mar.onnx of OpenCV's model zoo)")

    def detect(self, video: Tensor) -> list[Faces]:
        """See the base.

        Raises:
            UserError: If OpenCV cannot read the ONNX file.
        """
        network = shared(_load_yunet, self.weights, self.confidence)
        height, width = video.shape[-2:]
        size = max(1, round(width * self.scale)), max(1, round(height * self.scale))
        network.setInputSize(size)
        to_picture = np.tile([width / size[0], height / size[1]], 2)
        found = []
        for frame in video.permute(0, 2, 3, 1).contiguous().cpu().numpy():
            small = cv2.resize(frame, size, interpolation=cv2.INTER_AREA)
            found.append(_read(network.detect(cv2.cvtColor(small, cv2.COLOR_RGB2BGR))[1], to_picture))
        return found


def _read(rows: np.ndarray | None, to_picture: np.ndarray) -> Faces:
    """OpenCV's rows: left, top, width, height, five landmarks, confidence."""
    if rows is None:
        return Faces.none()
    boxes = rows[:, :4].astype(np.float64)
    boxes[:, 2:] += boxes[:, :2]
    return Faces.sorted(boxes * to_picture, rows[:, 14].astype(np.float64))


def _load_yunet(weights: str, confidence: float) -> cv2.FaceDetectorYN:
    try:
        return cv2.FaceDetectorYN.create(weights, "", (320, 320), confidence, _NMS_IOU, _BEFORE_NMS)
    except cv2.error as error:
        raise UserError(f"{weights} is not an ONNX file of YuNet that OpenCV can read ({error.err})") from None
