"""AST (Gong et al., "AST: Audio Spectrogram Transformer", 2021) through transformers."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from metrics.audio.network import Heard, SoundNetwork, to_cpu
from metrics.networks import Runtime, absent_model, locate_model, shared
from metrics.published import load_transformer

SAMPLE_RATE_HZ, WINDOW = 16_000, 400


class AST(SoundNetwork):
    """The transformer trained on AudioSet: its pooled feature and 527 classes of the first 10.24 s.

    Args:
        weights: Folder or hub id of an ``ASTForAudioClassification`` of transformers.
        runtime: Where and how precisely the network runs.
    """

    title = "AST (10.24 s window), pooled feature before the classes"
    published = "an AST of transformers (MIT/ast-finetuned-audioset-10-10-0.4593)"
    sample_rate_hz = SAMPLE_RATE_HZ
    classes = 527

    def __init__(
        self,
        weights: str | None = "MIT/ast-finetuned-audioset-10-10-0.4593",
        runtime: Runtime = Runtime(),
    ) -> None:
        super().__init__(weights, runtime)

    def missing(self) -> str | None:
        """See the base."""
        return absent_model(self.weights, self.published)

    @torch.inference_mode()
    def hear(self, waveform: Tensor) -> Heard:
        """See the base."""
        extract, network = shared(_load, self.weights, self.runtime)
        if len(waveform) < WINDOW:
            return Heard(torch.zeros(0, network.config.hidden_size))
        mel = extract(waveform.numpy(), sampling_rate=SAMPLE_RATE_HZ, return_tensors="pt").input_values
        pooled = network.audio_spectrogram_transformer(mel.to(network.device, network.dtype)).pooler_output
        return Heard(to_cpu(pooled), to_cpu(network.classifier(pooled)[0]))


def _load(weights: str, runtime: Runtime) -> tuple[Any, Any]:
    """Front end and network."""
    from transformers import ASTFeatureExtractor

    folder = locate_model(weights)
    network = load_transformer("ASTForAudioClassification", str(folder), runtime)
    return ASTFeatureExtractor.from_pretrained(folder), network
