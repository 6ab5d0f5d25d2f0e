"""WER: words that must be changed, added or dropped to make what is heard what was to be said, per word to be said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from torchmetrics.functional.text import word_error_rate

from harmony_lit.containers import Clip
from metrics.base import ClipMetric, Measure, Score
from metrics.bench.cases import BenchCase
from metrics.speech.normalise import Normaliser, absent_script, words
from metrics.speech.recogniser import Recogniser
from metrics.speech.sphinx import PocketSphinx

Mean = Literal["corpus", "sample"]
_MEANS = {
    "corpus": "errors of all clips over words of all clips",
    "sample": "mean over clips of errors over words",
}


def error_rate(heard: Sequence[str], said: Sequence[str]) -> float:
    """Levenshtein distance of two series of words over the length of ``said``, which is not empty; may exceed 1."""
    return float(word_error_rate(" ".join(heard), " ".join(said)))


class WordErrorRate(ClipMetric):
    """WER of the clips that have a transcript.

    A clip in a language that the recogniser does not know is excluded and counted.

    Args:
        recogniser: Who listens; pocketsphinx's English if not given.
        normaliser: ``english`` or ``basic``, Whisper's. ``basic`` for series of digits, which ``english`` makes one
            number, right or wrong as a whole.
        mean: ``corpus`` weighs clips by their words, ``sample`` counts each once.
    """

    def __init__(
        self, recogniser: Recogniser | None = None, normaliser: Normaliser = "english", mean: Mean = "corpus"
    ) -> None:
        self.recogniser = recogniser or PocketSphinx()
        self.normaliser, self.mean = normaliser, mean
        self.measures = (
            Measure(
                "wer",
                "lower",
                f"Heard by {self.recogniser.describe()}; Whisper's {normaliser} normaliser for English, its basic one "
                f"else, Chinese (simplified) and Japanese by character; {_MEANS[mean]} (torchmetrics).",
                digits=3,
                title="WER",
                detector=self.recogniser.describe(),
                checkpoint=self.recogniser.checkpoint,
            ),
        )
        super().__init__()

    def missing(self) -> str | None:
        """See the base."""
        return self.recogniser.missing()

    def measure(self, clip: Clip, case: BenchCase) -> Mapping[str, float | Score]:
        """The error rate of one clip; nothing where no speech was asked for."""
        if not case.transcript:
            return {}
        if not self.recogniser.understands(case.language):
            return {"wer": Score.none(f"the recogniser does not know {case.language}")}
        if needed := absent_script(case.language):
            return {"wer": Score.none(f"{case.language} needs {needed}")}
        heard = self.recogniser.transcribe(clip.audio, clip.sample_rate_hz, case.language)
        return {"wer": self.score(heard, case.transcript, case.language)}

    def score(self, heard: str, said: str, language: str) -> Score:
        """The error rate of what was heard, with the weight that it has in the mean."""
        spellings = self.recogniser.spellings() if language == "en" else {}
        reference = words(said, language, self.normaliser, spellings)
        if not reference:
            return Score.none("no word in the transcript")
        rate = error_rate(words(heard, language, self.normaliser, spellings), reference)
        return Score(rate, len(reference) if self.mean == "corpus" else 1.0)
