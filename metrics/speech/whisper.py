"""Whisper (Radford et al., "Robust Speech Recognition via Large-Scale Weak Supervision", 2022) through transformers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from metrics.networks import Runtime, absent_model, locate_model, name_of, shared
from metrics.published import load_transformer
from metrics.rates import resampled
from metrics.speech.recogniser import Recogniser

SAMPLE_RATE_HZ = 16_000
WINDOW_S = 30.0
"""What the network hears at once; longer sounds are read in windows, each begun where the last one's words end."""


class Whisper(Recogniser):
    """Greedy transcription in the language of the case, which is told and not guessed.

    Args:
        weights: Folder or hub id of a Whisper model of transformers.
        runtime: Where and how precisely the network runs.
    """

    def __init__(self, weights: str = "openai/whisper-large-v3", runtime: Runtime = Runtime()) -> None:
        self.weights, self.runtime = weights, runtime
        self.checkpoint = name_of(weights)

    def describe(self) -> str:
        """See the base."""
        return f"Whisper in transformers, greedy, language told, {self.runtime.precision}"

    def missing(self) -> str | None:
        """See the base."""
        return absent_model(self.weights, "a Whisper model (openai/whisper-large-v3)")

    def understands(self, language: str) -> bool:
        """See the base."""
        config = self._loaded()[1].generation_config
        if not getattr(config, "is_multilingual", True):
            return language == "en"
        return f"<|{language}|>" in config.lang_to_id

    def spellings(self) -> Mapping[str, str]:
        """British spellings to American ones: the checkpoint's ``normalizer.json``."""
        return self._loaded()[0].tokenizer.english_spelling_normalizer or {}

    @torch.inference_mode()
    def transcribe(self, waveform: Tensor, sample_rate_hz: int, language: str) -> str:
        """See the base."""
        processor, network = self._loaded()
        samples = resampled(waveform, sample_rate_hz, SAMPLE_RATE_HZ)
        long = len(samples) > WINDOW_S * SAMPLE_RATE_HZ
        heard = processor(
            samples.numpy(),
            sampling_rate=SAMPLE_RATE_HZ,
            return_tensors="pt",
            return_attention_mask=True,
            truncation=False,
            padding="longest" if long else "max_length",
        ).to(network.device, network.dtype)
        told = {}
        if getattr(network.generation_config, "is_multilingual", True):
            told = {"language": language, "task": "transcribe"}
        tokens = network.generate(**heard, **told, return_timestamps=long, do_sample=False, num_beams=1)
        return processor.batch_decode(tokens, skip_special_tokens=True)[0].strip()

    def _loaded(self) -> tuple[Any, Any]:
        return shared(_load, self.weights, self.runtime)


def _load(weights: str, runtime: Runtime) -> tuple[Any, Any]:
    """Processor and network."""
    from transformers import WhisperProcessor

    folder = locate_model(weights)
    network = load_transformer("WhisperForConditionalGeneration", str(folder), runtime)
    return WhisperProcessor.from_pretrained(folder), network
