"""S3FD as SyncNet's authors use it: the detector that published Sync-C and Sync-D were measured with."""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
import torch
from torch import Tensor

from harmony_lit.pretrained.layout import Layout
from harmony_lit.pretrained.load import load_pretrained
from harmony_lit.pretrained.source import open_weights
from metrics.faces.detector import FaceDetector, Faces
from metrics.faces.s3fd_network import MEAN_RGB, SMALLEST_INPUT_PX, S3FDNetwork
from metrics.networks import Runtime, absent, name_of, shared

_NMS_IOU = (0.3, 0.1)  # the network's own suppression, then the one that its caller adds
_PIXELS_AT_ONCE = 2**20


def _same(name: str) -> str:
    return name


S3FD_LAYOUT = Layout(
    name="s3fd",
    publisher="Zhang et al., as joonson/syncnet_python points to it",
    licence=None,
    part="",
    telltale={"vgg.31.weight": (1024, 512, 3, 3), "L2Norm3_3.weight": (256,), "conf.0.weight": (4, 256, 3, 3)},
    rename=_same,
    restore=_same,
)
"""``sfd_face.pth``: our module has the published names."""


@dataclass(frozen=True)
class S3FD(FaceDetector):
    """A VGG-16 detector (22.5 million parameters) on pictures made smaller, as ``joonson/syncnet_python`` runs it.

    Args:
        weights: ``sfd_face.pth``; ``download_model.sh`` of joonson/syncnet_python says where it is.
        confidence: Faces up to this are dropped.
        scale: What the sides of a picture are multiplied by before the network sees it. The smallest faces that it can
            see are about 16 pixels wide then.
        runtime: Where and how precisely it runs.
    """

    weights: str | None = None
    confidence: float = 0.9
    scale: float = 0.25
    runtime: Runtime = field(default_factory=Runtime)

    def describe(self) -> str:
        """See the base."""
        settings = (
            f"confidence {self.confidence:g}, pictures scaled by {self.scale:g}, NMS IoU {_NMS_IOU[0]}, {_NMS_IOU[1]}"
        )
        return f"S3FD ({name_of(self.weights)}, {settings})"

    def missing(self) -> str | None:
        """See the base."""
        return absent(self.weights, "S3FD's weights (sfd_face.pth, see joonson/syncnet_python)")

    def detect(self, video: Tensor) -> list[Faces]:
        """See the base; a picture that is too small for the network once it is scaled has no faces."""
        height, width = round(video.shape[-2] * self.scale), round(video.shape[-1] * self.scale)
        if min(height, width) < SMALLEST_INPUT_PX:
            return [Faces.none()] * len(video)
        network = shared(_load_s3fd, self.weights, self.runtime)
        to_picture = np.tile([video.shape[-1] / width, video.shape[-2] / height], 2)
        at_once = max(1, _PIXELS_AT_ONCE // (height * width))
        return [faces for some in video.split(at_once) for faces in self._detect(network, some, to_picture)]

    def _detect(self, network: S3FDNetwork, video: Tensor, to_picture: np.ndarray) -> list[Faces]:
        pictures = self._scaled(video).to(self.runtime.torch_device, self.runtime.dtype)
        with torch.inference_mode():
            seen = network(pictures)
        found = []
        for scores, boxes in zip(seen.faces, seen.boxes, strict=True):
            sure = scores > self.confidence
            kept = boxes[sure].double().cpu().numpy() * to_picture
            faces = Faces.sorted(kept, scores[sure].double().cpu().numpy())
            # Both, because greedy suppression is not transitive: a box that the second drops may have dropped others.
            found.append(faces.apart(_NMS_IOU[0]).apart(_NMS_IOU[1]))
        return found

    def _scaled(self, video: Tensor) -> Tensor:
        frames = video.permute(0, 2, 3, 1).contiguous().cpu().numpy()
        small = [cv2.resize(frame, None, fx=self.scale, fy=self.scale) for frame in frames]
        return torch.from_numpy(np.stack(small).astype(np.float32) - np.array(MEAN_RGB, np.float32)).permute(0, 3, 1, 2)


def _load_s3fd(weights: str, runtime: Runtime) -> S3FDNetwork:
    with torch.device("meta"):
        network = S3FDNetwork()
    load_pretrained(network, open_weights(weights), S3FD_LAYOUT)
    runtime.place(network)
    return network
