"""What a bench compares: the truth, the codecs alone, sampled clips, and pairs that must not agree.

Shape legend: B batch, F pixel frames, S audio samples.
"""

from __future__ import annotations

import copy
import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from harmony_lit.containers import Clip
from harmony_lit.errors import UserError
from harmony_lit.guidance import Guidance
from harmony_lit.sampling import Sampler, generate
from metrics.bench.cases import BenchCase
from metrics.bench.clips import ClipFolder
from metrics.bench.fidelity import lsd_db, psnr_db, round_trip
from metrics.bench.progress import Advance
from metrics.bench.results import Role
from metrics.bench.scoring import read_scored_clip
from metrics.bench.studio import Studio


@dataclass(frozen=True)
class Made:
    """A clip that a variant made, or the file of one to be taken as it is, and numbers known only while it was made."""

    case: BenchCase
    clip: Clip | Path
    notes: Mapping[str, float] = field(default_factory=dict)


class Variant(ABC):
    """One way to get a clip for each case.

    Attributes:
        role: What the variant is in the comparison.
        about: What its clips are, in a sentence.
        together: Whether a clip depends on the other cases, so that all must be made at once.
    """

    role: ClassVar[Role]
    about: str
    together: ClassVar[bool] = False

    @abstractmethod
    def settings(self, studio: Studio, bench: Path) -> dict[str, Any]:
        """What the clips depend on beside their case; ``bench`` is the folder of all variants."""

    @abstractmethod
    def make(self, studio: Studio, bench: Path, cases: Sequence[BenchCase], advance: Advance) -> Iterator[Made]:
        """Makes the clips of ``cases``, in any order; ``advance`` counts clips."""

    def facts(self, studio: Studio) -> dict[str, Any]:
        """What a reader of the results should know of how the clips were made."""
        return {}


class GroundTruth(Variant):
    """The held-out clips themselves, as they were written."""

    role = "reference"
    about = "The held-out clips themselves."

    def settings(self, studio: Studio, bench: Path) -> dict[str, Any]:
        """The truth depends on the case alone."""
        return {}

    def make(self, studio: Studio, bench: Path, cases: Sequence[BenchCase], advance: Advance) -> Iterator[Made]:
        """Names each case's truth."""
        for case in cases:
            yield Made(case, truth_of(case))
            advance(1)


class CodecRoundTrip(Variant):
    """The true clips through both codecs and back: the best that any model of these latents can do."""

    role = "reference"
    about = "The held-out clips through both codecs and back: what these latents can hold."

    def settings(self, studio: Studio, bench: Path) -> dict[str, Any]:
        """The codecs' fingerprints."""
        return {"fingerprints": studio.system.fingerprints()}

    def make(self, studio: Studio, bench: Path, cases: Sequence[BenchCase], advance: Advance) -> Iterator[Made]:
        """Encodes and decodes in batches; notes ``psnr_db`` and ``audio_lsd_db``."""
        for start in range(0, len(cases), studio.batch_size):
            chosen = cases[start : start + studio.batch_size]
            rates = studio.system.geometry.fps, studio.system.geometry.sample_rate_hz
            truths = [read_scored_clip(truth_of(case), *rates) for case in chosen]
            for case, truth, clip in zip(chosen, truths, round_trip(studio.system, truths), strict=True):
                notes = {"psnr_db": psnr_db(truth.video, clip.video), "audio_lsd_db": lsd_db(truth.audio, clip.audio)}
                yield Made(case, clip, notes)
            advance(len(chosen))


class Sampled(Variant):
    """Clips that the model makes.

    Args:
        guidance: Guidance of this variant; the sampler's own if not given.
        about: What the clips are, in a sentence.
    """

    role = "model"

    def __init__(self, guidance: Guidance | None = None, about: str = "") -> None:
        self.guidance = guidance
        self.about = about or f"Sampled from noise{f' with {type(guidance).__name__}' if guidance else ''}."

    def settings(self, studio: Studio, bench: Path) -> dict[str, Any]:
        """Weights, codecs, sampler and the size of the clips."""
        return {
            "weights": studio.weights,
            "fingerprints": studio.system.fingerprints(),
            "sampler": described(self.sampler(studio)),
            "size": [studio.frames, studio.height, studio.width],
        }

    def make(self, studio: Studio, bench: Path, cases: Sequence[BenchCase], advance: Advance) -> Iterator[Made]:
        """Samples the cases batch by batch."""
        sampler = self.sampler(studio)
        prompts = [studio.prompt(case) for case in cases]

        def on_step(clips: int, finished: int) -> None:
            advance(clips / sampler.steps)

        made = generate(
            studio.system, studio.denoise, sampler, prompts, studio.batch_size, studio.device, on_step=on_step
        )
        for index, clip in made:
            yield Made(cases[index], clip)

    def facts(self, studio: Studio) -> dict[str, Any]:
        """Guidance, steps and model calls."""
        sampler = self.sampler(studio)
        guidance = {k: v for k, v in described(sampler.guidance).items() if not isinstance(v, dict)}
        calls = {"steps": sampler.steps, "model calls per clip": sampler.model_calls()}
        return {"guidance": guidance.pop("class"), **guidance, **calls}

    def sampler(self, studio: Studio) -> Sampler:
        """The studio's sampler with this variant's guidance."""
        sampler = copy.copy(studio.sampler)
        if self.guidance is not None:
            sampler.guidance = self.guidance
        return sampler


class Shuffled(Variant):
    """The sound of one clip under the picture of another of the same category: what chance reaches.

    Args:
        of: An earlier variant whose clips are taken.
    """

    role = "control"
    together = True

    def __init__(self, of: str = "sync_cfg") -> None:
        self.of = of
        self.about = f"Picture of one clip of {of}, sound of another of the same subset: what chance reaches."

    def settings(self, studio: Studio, bench: Path) -> dict[str, Any]:
        """What the other variant's clips were made with.

        Raises:
            UserError: If there is no such variant before this one.
        """
        index = bench / self.of / "index.json"
        if not index.is_file():
            raise UserError(f"bench.variants: a Shuffled of '{self.of}' needs a variant of that name before it")
        return {"of": self.of, "made": hashlib.sha256(index.read_bytes()).hexdigest()}

    def make(self, studio: Studio, bench: Path, cases: Sequence[BenchCase], advance: Advance) -> Iterator[Made]:
        """Gives each clip the sound of the one half a category further on."""
        folder = ClipFolder(bench / self.of, {})
        for seen, heard in derangement(cases):
            picture, sound = (read_scored_clip(folder.video(case)) for case in (seen, heard))
            yield Made(seen, Clip(picture.video, sound.audio, picture.fps, picture.sample_rate_hz))
            advance(1)


def derangement(cases: Sequence[BenchCase]) -> list[tuple[BenchCase, BenchCase]]:
    """Pairs each case with another of its category, each used once on either side; a category of one has no pair."""
    pairs = []
    for category in dict.fromkeys(case.category for case in cases):
        members = [case for case in cases if case.category == category]
        shift = max(1, len(members) // 2)
        if len(members) > 1:
            pairs += list(zip(members, members[shift:] + members[:shift], strict=True))
    return pairs


def truth_of(case: BenchCase) -> Path:
    """The true clip of a case.

    Raises:
        UserError: If it has none.
    """
    if case.truth is None:
        raise UserError(
            f"case {case.key} has no true clip; take ground_truth and codec_roundtrip out of bench.variants"
        )
    return Path(case.truth)


def described(value: Any) -> Any:
    """An object as plain values: its class and, in turn, its attributes. Used to tell settings apart."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (list, tuple)):
        return [described(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): described(item) for key, item in value.items()}
    return {"class": type(value).__name__, **{k: described(v) for k, v in sorted(vars(value).items())}}
