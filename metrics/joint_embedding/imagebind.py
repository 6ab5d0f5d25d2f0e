"""IB and IB-A: do picture and sound, text and sound, mean the same? Cosines in ImageBind's joint space.

Shape legend: E width of the joint space.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from harmony_lit.containers import Clip
from metrics.base import ClipMetric, Measure, Score
from metrics.bench.cases import BenchCase
from metrics.joint_embedding.imagebind_inputs import (
    SAMPLE_RATE_HZ,
    SHORTEST_SAMPLES,
    audio_pieces,
    text_tokens,
    video_pieces,
)
from metrics.joint_embedding.imagebind_weights import Modality, load_tower
from metrics.memo import once_per_clip
from metrics.networks import Runtime, absent, name_of, shared

WHAT = "ImageBind's weights (imagebind_huge.pth; CC-BY-NC-SA 4.0, not for commercial use)"
WHAT_TOKENIZER = "a tokenizer of CLIP (a folder, or a hub id such as openai/clip-vit-large-patch14)"
_DETECTOR = "ImageBind (Girdhar et al. 2023)"
_AUDIO_PROTOCOL = (
    "the sound as three pieces of 2 s (16 kHz, Kaldi filter bank of 128 bands), as imagebind.data gives them"
)
_TOO_SHORT = Score.none("sound shorter than 25 ms")


def embedded(weights: str, modality: Modality, inputs: Tensor, runtime: Runtime) -> Tensor:
    """The mean of the unit embeddings of all ``inputs``, one of them at a time: (E,)."""
    tower = shared(load_tower, weights, modality, runtime)
    dtype = runtime.dtype if inputs.is_floating_point() else inputs.dtype
    with torch.inference_mode():
        found = [tower(piece.to(runtime.torch_device, dtype)).float().cpu() for piece in inputs.split(1)]
    return torch.cat(found).mean(dim=0)


@once_per_clip
def heard(clip: Clip, weights: str, runtime: Runtime) -> Tensor:
    """What the sound of a clip means: (E,)."""
    return embedded(weights, "audio", audio_pieces(clip), runtime)


def load_tokenizer(name: str) -> Any:
    """A tokenizer by folder or hub id.

    Raises:
        OSError: If there is none.
        ValueError: If what is there is none, or the name cannot be one.
    """
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(name)


class ImageBindVideo(ClipMetric):
    """IB: mean cosine of picture and sound.

    Args:
        weights: Path of ``imagebind_huge.pth``; without it the metric is not run.
        runtime: Where the network runs, and how precisely.
    """

    def __init__(self, weights: str | None = None, runtime: Runtime = Runtime()) -> None:
        protocol = (
            "Cosine of ImageBind's embeddings of picture and sound; the picture as first and last frame of five pieces "
            f"of 2 s, three crops of 224 each; {_AUDIO_PROTOCOL}."
        )
        self.measures = (
            Measure("ib", "higher", protocol, digits=3, title="IB", detector=_DETECTOR, checkpoint=name_of(weights)),
        )
        super().__init__()
        self.weights, self.runtime = weights, runtime

    def missing(self) -> str | None:
        """See the base."""
        return absent(self.weights, WHAT)

    def measure(self, clip: Clip, case: BenchCase) -> dict[str, float | Score]:
        """The cosine, in [-1, 1]."""
        assert self.weights is not None  # told by ``missing``
        if _too_short(clip):
            return {"ib": _TOO_SHORT}
        seen = embedded(self.weights, "vision", video_pieces(clip), self.runtime)
        return {"ib": float(functional.cosine_similarity(seen, heard(clip, self.weights, self.runtime), dim=0))}


class ImageBindText(ClipMetric):
    """IB-A: mean cosine of audio caption and sound.

    Args:
        weights: Path of ``imagebind_huge.pth``; without it the metric is not run.
        tokenizer: Folder or hub id of a tokenizer of CLIP, whose vocabulary ImageBind uses.
        runtime: Where the network runs, and how precisely.
    """

    def __init__(
        self,
        weights: str | None = None,
        tokenizer: str = "openai/clip-vit-large-patch14",
        runtime: Runtime = Runtime(),
    ) -> None:
        protocol = (
            f"Cosine of ImageBind's embeddings of the audio caption and the sound; {_AUDIO_PROTOCOL}; cases without an "
            "audio caption are left out."
        )
        self.measures = (
            Measure(
                "ib_a", "higher", protocol, digits=3, title="IB-A", detector=_DETECTOR, checkpoint=name_of(weights)
            ),
        )
        super().__init__()
        self.weights, self.tokenizer, self.runtime = weights, tokenizer, runtime

    def missing(self) -> str | None:
        """See the base."""
        if what := absent(self.weights, WHAT):
            return what
        try:
            shared(load_tokenizer, self.tokenizer)
        except (OSError, ValueError):
            return f"{WHAT_TOKENIZER}; {self.tokenizer} is not in the hub's cache and could not be fetched"
        return None

    def measure(self, clip: Clip, case: BenchCase) -> dict[str, float | Score]:
        """The cosine, in [-1, 1]."""
        assert self.weights is not None  # told by ``missing``
        if not case.audio_caption:
            return {}
        if _too_short(clip):
            return {"ib_a": _TOO_SHORT}
        tokens = text_tokens(case.audio_caption, shared(load_tokenizer, self.tokenizer))
        told = embedded(self.weights, "text", tokens, self.runtime)
        return {"ib_a": float(functional.cosine_similarity(told, heard(clip, self.weights, self.runtime), dim=0))}


def _too_short(clip: Clip) -> bool:
    return len(clip.audio) * SAMPLE_RATE_HZ < SHORTEST_SAMPLES * clip.sample_rate_hz
