"""ID: does what the reference image shows stay itself in all frames? Likeness of DINO features.

Harmony (section 5) says "DINOv3" and no more. Left open there, and chosen here: the feature is the class token after
the last norm; every frame counts, the first one, which a model may have been given, too; cosines are averaged as they
are, negative ones included; pictures are drawn to a 224 x 224 square, as DINOv3's own image processor does it; the
size of the network is the user's to name, and stated.

Shape legend: N frames, H W rows and columns, D feature width.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor
from torch.nn import functional as F

from harmony_lit.containers import Clip
from harmony_lit.errors import UserError
from metrics.base import ClipMetric, Measure
from metrics.bench.cases import BenchCase
from metrics.networks import Runtime, absent_model, shared
from metrics.picture.frames import batches, normalised, resize_float
from metrics.published import load_transformer

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def dino_pixels(frames: Tensor, size: int = 224) -> Tensor:
    """(N, 3, H, W) uint8 as DINOv3 wants it: (N, 3, size, size), antialiased bilinear, normalised."""
    return normalised(resize_float(frames, (size, size), "bilinear"), IMAGENET_MEAN, IMAGENET_STD)


def read_picture(path: str | Path) -> Tensor:
    """A picture file as (1, 3, H, W) uint8, RGB, the right way up."""
    with Image.open(path) as picture:
        upright = ImageOps.exif_transpose(picture).convert("RGB")
    return torch.from_numpy(np.array(upright)).permute(2, 0, 1)[None]


class IdentityConsistency(ClipMetric):
    """ID: the mean cosine between the features of a clip's frames and those of its case's reference image.

    Cases without a reference image have none.

    Args:
        dino: Folder or hub id of a DINOv3 (or DINOv2) ViT of transformers, such as
            ``facebook/dinov3-vitb16-pretrain-lvd1689m``.
        size: Pixels of the square that pictures are drawn to.
        stride: Looks at every n-th frame only.
        batch_size: Frames at a time.
        runtime: Where and how precisely it runs.
    """

    def __init__(
        self,
        dino: str | None = None,
        size: int = 224,
        stride: int = 1,
        batch_size: int = 32,
        runtime: Runtime = Runtime(),
    ) -> None:
        self.dino, self.size, self.stride, self.batch_size, self.runtime = dino, size, stride, batch_size, runtime
        seen = "all frames" if stride == 1 else f"1 frame in {stride}"
        self.measures = (
            Measure(
                "id",
                "higher",
                f"Mean cosine of the class tokens of {seen} with the reference image's, "
                f"drawn to {size} x {size}, antialiased bilinear; cases with a reference image.",
                digits=3,
                title="ID",
                detector=f"DINO ViT, class token after the last norm, {runtime.precision}",
                checkpoint=dino or "",
            ),
        )
        super().__init__()

    def missing(self) -> str | None:
        """The network, if it is not there."""
        return absent_model(self.dino, "DINOv3 (such as facebook/dinov3-vitb16-pretrain-lvd1689m)")

    def measure(self, clip: Clip, case: BenchCase) -> dict[str, float]:
        """See the class."""
        if case.reference_image is None:
            return {}
        reference = self._features(read_picture(case.reference_image))
        cosines = [
            F.cosine_similarity(self._features(batch), reference)
            for batch in batches(clip.video, self.stride, self.batch_size)
        ]
        return {"id": float(torch.cat(cosines).mean())}

    @torch.inference_mode()
    def _features(self, frames: Tensor) -> Tensor:
        """(N, 3, H, W) uint8 to (N, D) float."""
        network = shared(_load_dino, self.dino, self.runtime)
        pixels = dino_pixels(frames.to(self.runtime.torch_device), self.size).to(self.runtime.dtype)
        features: Tensor = network(pixel_values=pixels).pooler_output.float()
        return features


def _load_dino(name: str, runtime: Runtime) -> Any:
    network = load_transformer("AutoModel", name, runtime)
    if not network.config.model_type.startswith("dino"):
        raise UserError(f"{name} is a {network.config.model_type}, not a DINOv3 or DINOv2 ViT")
    return network
