"""CLAP score: does the sound fit its caption? Cosine of their embeddings (Wu et al. 2023), by transformers' ClapModel.

Shape legend: S samples, D width of the joint space.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from harmony_lit.containers import Clip
from metrics.base import ClipMetric, Measure, Score
from metrics.bench.cases import BenchCase
from metrics.networks import Runtime, absent_model, locate_model, name_of, shared
from metrics.published import load_transformer
from metrics.rates import samples_at

WHAT = "a CLAP model of transformers (a folder, or a hub id such as laion/clap-htsat-unfused)"
_PROTOCOL = (
    "Cosine of CLAP's embeddings of the sound and of the audio caption; mono at the model's rate, at most 10 s, a "
    "shorter sound repeated and padded; cases without an audio caption are left out."
)


class ClapNetwork:
    """A CLAP model and what prepares its inputs.

    Args:
        name: Folder or hub id.
        runtime: Where the network runs, and how precisely.
    """

    def __init__(self, name: str, runtime: Runtime) -> None:
        from transformers import ClapProcessor

        folder = locate_model(name)
        self._processor: Any = ClapProcessor.from_pretrained(folder)
        self._model: Any = load_transformer("ClapModel", name, runtime)

    @property
    def sample_rate_hz(self) -> int:
        """Samples per second that it listens to."""
        return int(self._processor.feature_extractor.sampling_rate)

    @torch.inference_mode()
    def hear(self, samples: Tensor) -> Tensor:
        """(S,) samples in [-1, 1] -> (D,)."""
        # Of a longer sound the extractor would take a random piece.
        extractor = self._processor.feature_extractor
        first = samples[: extractor.nb_max_samples].numpy()
        inputs = extractor(first, sampling_rate=self.sample_rate_hz, return_tensors="pt")
        return _embedding(self._model.get_audio_features(**inputs.to(self._model.device, self._model.dtype)))

    @torch.inference_mode()
    def read(self, text: str) -> Tensor:
        """A caption -> (D,)."""
        tokens = self._processor.tokenizer([text], truncation=True, return_tensors="pt")
        return _embedding(self._model.get_text_features(**tokens.to(self._model.device)))


class Clap(ClipMetric):
    """Mean cosine of sound and audio caption.

    Args:
        weights: Folder or hub id of a CLAP model; without it the metric is not run.
        runtime: Where the network runs, and how precisely.
    """

    def __init__(self, weights: str | None = None, runtime: Runtime = Runtime()) -> None:
        self.measures = (
            Measure("clap", "higher", _PROTOCOL, digits=3, title="CLAP", detector="CLAP", checkpoint=name_of(weights)),
        )
        super().__init__()
        self.weights, self.runtime = weights, runtime

    def missing(self) -> str | None:
        """See the base."""
        return absent_model(self.weights, WHAT)

    def measure(self, clip: Clip, case: BenchCase) -> dict[str, float | Score]:
        """The cosine, in [-1, 1]."""
        if not case.audio_caption:
            return {}
        if not clip.audio.numel():
            return {"clap": Score.none("no sound")}
        network = shared(ClapNetwork, self.weights, self.runtime)
        heard = network.hear(samples_at(clip, network.sample_rate_hz))
        return {"clap": float(functional.cosine_similarity(heard, network.read(case.audio_caption), dim=0))}


def _embedding(found: Any) -> Tensor:
    """(D,) from what a transformers model gives: an output object since its version 5, a tensor before."""
    return (found if isinstance(found, Tensor) else found.pooler_output)[0].float().cpu()
