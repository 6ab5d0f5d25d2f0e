"""AQ: how pleasing are the frames? A head that was trained on people's ratings, over features of a large image encoder.

Shape legend: N frames, H W rows and columns, D feature width.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from harmony_lit.containers import Clip
from metrics.base import ClipMetric, Measure
from metrics.bench.cases import BenchCase
from metrics.networks import Runtime, absent, absent_model, name_of, shared
from metrics.picture.frames import batches, center_crop, normalised, resize, resize_unfiltered, short_side_to
from metrics.published import load_published, load_transformer

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
_HALF = (0.5, 0.5, 0.5)
_CLIP_PX, _SIGLIP_PX = 224, 384


class AestheticHead(ABC):
    """Rates pictures as people would.

    Attributes:
        detector: Its name and settings, for the protocol.
        checkpoint: Its weights and those of its encoder.
    """

    detector: str
    checkpoint: str

    @abstractmethod
    def missing(self) -> str | None:
        """What it needs and does not have; None if it can run."""

    @abstractmethod
    def ratings(self, frames: Tensor) -> Tensor:
        """(N,) on a scale of 10, on the CPU, of frames (N, 3, H, W) uint8, RGB."""


def clip_pixels(frames: Tensor, antialias: bool = True) -> Tensor:
    """(N, 3, H, W) uint8 as CLIP wants it, (N, 3, 224, 224): short side to 224, bicubic, the middle, normalised.

    Args:
        frames: Pictures.
        antialias: Pillow's filter, as in CLIP's image processor; otherwise none, as in VBench.
    """
    size = short_side_to(_CLIP_PX, *frames.shape[-2:])
    small = resize(frames, size, "bicubic") if antialias else resize_unfiltered(frames, size, "bicubic")
    return normalised(center_crop(small, _CLIP_PX), CLIP_MEAN, CLIP_STD)


def siglip_pixels(frames: Tensor) -> Tensor:
    """(N, 3, H, W) uint8 as SigLIP wants it, (N, 3, 384, 384): drawn to a square, bicubic, from -1 to 1."""
    return normalised(resize(frames, (_SIGLIP_PX, _SIGLIP_PX), "bicubic"), _HALF, _HALF)


class LaionLinear(AestheticHead):
    """LAION's linear head over normalised CLIP ViT-L/14 features, VBench's choice.

    Args:
        weights: Path of ``sa_0_4_vit_l_14_linear.pth``.
        clip: Folder or hub id of ``openai/clip-vit-large-patch14``.
        antialias: See ``clip_pixels``; False for numbers to hold beside VBench's.
        runtime: Where and how precisely CLIP runs; the head is fp32.
    """

    def __init__(
        self,
        weights: str | None = None,
        clip: str | None = None,
        antialias: bool = True,
        runtime: Runtime = Runtime(),
    ) -> None:
        self.weights, self.clip, self.antialias, self.runtime = weights, clip, antialias, runtime
        scaling = "with antialiasing (CLIP's processor)" if antialias else "without antialiasing (VBench)"
        self.detector = f"LAION linear head over CLIP ViT-L/14, bicubic 224 {scaling}, {runtime.precision}"
        self.checkpoint = _both(weights, clip)

    def missing(self) -> str | None:
        """See the base."""
        return absent(
            self.weights, "LAION's aesthetic head (sa_0_4_vit_l_14_linear.pth of LAION-AI/aesthetic-predictor)"
        ) or absent_model(self.clip, "CLIP ViT-L/14 (openai/clip-vit-large-patch14)")

    @torch.inference_mode()
    def ratings(self, frames: Tensor) -> Tensor:
        """See the base."""
        encoder = shared(load_transformer, "CLIPVisionModelWithProjection", self.clip, self.runtime)
        head = shared(_load_laion, self.weights, str(self.runtime.torch_device))
        pixels = clip_pixels(frames, self.antialias).to(self.runtime.torch_device, self.runtime.dtype)
        features = F.normalize(encoder(pixel_values=pixels).image_embeds.float(), dim=-1)
        return head(features).squeeze(-1).cpu()


class PredictorV25(AestheticHead):
    """Aesthetic-predictor-v2.5's head over SigLIP so400m. Its weights are AGPL-3.0.

    Args:
        weights: Path of ``aesthetic_predictor_v2_5.pth``.
        siglip: Folder or hub id of ``google/siglip-so400m-patch14-384``.
        runtime: Where and how precisely SigLIP runs; the head is fp32.
    """

    def __init__(
        self,
        weights: str | None = None,
        siglip: str | None = None,
        runtime: Runtime = Runtime(),
    ) -> None:
        self.weights, self.siglip, self.runtime = weights, siglip, runtime
        self.detector = f"aesthetic-predictor-v2.5 over SigLIP so400m, bicubic 384, {runtime.precision}"
        self.checkpoint = _both(weights, siglip)

    def missing(self) -> str | None:
        """See the base."""
        return absent(
            self.weights,
            "the weights of aesthetic-predictor-v2.5 (aesthetic_predictor_v2_5.pth of "
            "discus0434/aesthetic-predictor-v2-5, AGPL-3.0)",
        ) or absent_model(self.siglip, "SigLIP so400m (google/siglip-so400m-patch14-384)")

    @torch.inference_mode()
    def ratings(self, frames: Tensor) -> Tensor:
        """See the base."""
        encoder = shared(load_transformer, "SiglipVisionModel", self.siglip, self.runtime)
        head = shared(_load_v25, self.weights, encoder.config.hidden_size, str(self.runtime.torch_device))
        pixels = siglip_pixels(frames).to(self.runtime.torch_device, self.runtime.dtype)
        features = F.normalize(encoder(pixel_values=pixels).pooler_output.float(), dim=-1)
        return head(features).squeeze(-1).cpu()


class V25Head(nn.Module):
    """The five linear layers of aesthetic-predictor-v2.5, under its names; the dropout between them was for training.

    Args:
        width: D of the encoder.
    """

    def __init__(self, width: int = 1152) -> None:
        super().__init__()
        widths = (width, 1024, 128, 64, 16, 1)
        self.scoring_head = nn.Sequential()
        for index in range(5):
            self.scoring_head.append(nn.Linear(widths[index], widths[index + 1]))
            if index < 4:
                self.scoring_head.append(nn.Identity())

    def forward(self, features: Tensor) -> Tensor:
        """(N, D) to (N, 1)."""
        rating: Tensor = self.scoring_head(features)
        return rating


class AestheticQuality(ClipMetric):
    """AQ: the mean rating of the frames, divided by ten.

    Args:
        head: Who rates: ``LaionLinear`` by default, or ``PredictorV25``.
        stride: Rates every n-th frame only; VBench rates all.
        batch_size: Frames at a time.
    """

    def __init__(self, head: AestheticHead | None = None, stride: int = 1, batch_size: int = 32) -> None:
        self.head = LaionLinear() if head is None else head
        self.stride, self.batch_size = stride, batch_size
        seen = "all frames" if stride == 1 else f"1 frame in {stride}"
        self.measures = (
            Measure(
                "aq",
                "higher",
                f"Mean rating of {seen}, divided by 10 (VBench's aesthetic quality).",
                digits=3,
                title="AQ",
                detector=self.head.detector,
                checkpoint=self.head.checkpoint,
            ),
        )
        super().__init__()

    def missing(self) -> str | None:
        """What the head needs."""
        return self.head.missing()

    def measure(self, clip: Clip, case: BenchCase) -> dict[str, float]:
        """See the class."""
        ratings = torch.cat([self.head.ratings(batch) for batch in batches(clip.video, self.stride, self.batch_size)])
        return {"aq": float(ratings.mean()) / 10}


def _both(weights: str | None, encoder: str | None) -> str:
    return " over ".join(name for name in (name_of(weights), encoder) if name)


def _load_laion(weights: str, device: str) -> nn.Linear:
    return load_published(nn.Linear(768, 1), weights, "LAION", "MIT", Runtime(device))


def _load_v25(weights: str, width: int, device: str) -> V25Head:
    return load_published(V25Head(width), weights, "discus0434", "AGPL-3.0", Runtime(device))
