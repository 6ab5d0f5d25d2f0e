"""CMU PocketSphinx: English offline, without weights of one's own; with a grammar, small vocabularies read well.

Shape legend: S samples, T frames of 10 ms.
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from harmony_lit.errors import UserError
from metrics.networks import absent_package, shared
from metrics.rates import resampled
from metrics.speech.recogniser import Recogniser

SAMPLE_RATE_HZ = 16_000
FRAME = 160
QUIET_DB, NEAR_FRAMES = 30, 2
GRAMMARS = {"digits": Path(__file__).with_name("digits.gram")}
"""Grammars that are shipped: ``digits`` is any series of spoken digits, what the synthetic world says."""


def silence_pauses(waveform: Tensor) -> Tensor:
    """Digital silence wherever ``waveform`` (S,) is 30 dB below its loudest 10 ms and not within 20 ms of a louder one.

    The recogniser leaves digital silence out of the cepstral mean that it subtracts; a faint hiss between words, such
    as a codec leaves, would be counted and spoil the words.
    """
    padded = F.pad(waveform, (0, -len(waveform) % FRAME)).reshape(-1, FRAME)
    power = padded.square().mean(dim=1)
    loud = (power > power.max() / 10 ** (QUIET_DB / 10)).float()
    near = F.max_pool1d(loud[None, None], 2 * NEAR_FRAMES + 1, stride=1, padding=NEAR_FRAMES)[0, 0]
    return (padded * near[:, None]).flatten()[: len(waveform)]


class PocketSphinx(Recogniser):
    """The US-English models inside pocketsphinx's wheel.

    Args:
        grammar: What may be said: ``digits``, or the path of a JSGF grammar; anything, by a trigram model of English,
            if not given.
    """

    def __init__(self, grammar: str | None = None) -> None:
        self.grammar = grammar
        self.checkpoint = f"en-us in pocketsphinx {_version()}"

    def describe(self) -> str:
        """See the base."""
        language = f"grammar {Path(self.grammar).stem}" if self.grammar else "en-us trigrams"
        return f"pocketsphinx {_version()}, {language}, 16 kHz, pauses (-{QUIET_DB} dB) silenced"

    def missing(self) -> str | None:
        """See the base."""
        if absent := absent_package("pocketsphinx", "pip install 'harmony-lit[speech]'"):
            return absent
        if self.grammar is not None and not self._grammar_file().is_file():
            return f"a grammar; {self.grammar} is neither {', '.join(GRAMMARS)} nor a JSGF file"
        return None

    def understands(self, language: str) -> bool:
        """See the base."""
        return language == "en"

    def transcribe(self, waveform: Tensor, sample_rate_hz: int, language: str) -> str:
        """See the base."""
        if not waveform.numel():
            return ""
        decoder = shared(_load, str(self._grammar_file()) if self.grammar else None)
        heard = silence_pauses(resampled(waveform, sample_rate_hz, SAMPLE_RATE_HZ))
        whole = (heard * 32768).round().clamp(-32768, 32767).to(torch.int16)
        decoder.reinit_feat()  # its estimate of the noise is otherwise that of all clips before
        decoder.start_utt()
        decoder.process_raw(whole.numpy().tobytes(), full_utt=True)  # at once, so that the mean is this clip's own
        decoder.end_utt()
        found = decoder.hyp()
        return found.hypstr if found is not None else ""

    def _grammar_file(self) -> Path:
        assert self.grammar is not None
        return GRAMMARS.get(self.grammar, Path(self.grammar))


def _load(grammar: str | None) -> Any:
    from pocketsphinx import Decoder

    search = {} if grammar is None else {"jsgf": grammar}
    try:
        return Decoder(samprate=float(SAMPLE_RATE_HZ), loglevel="FATAL", **search)
    except RuntimeError as error:
        raise UserError(f"pocketsphinx cannot use the grammar {grammar}: is it JSGF, of words it knows?") from error


def _version() -> str:
    try:
        return version("pocketsphinx")
    except PackageNotFoundError:
        return "(not installed)"
