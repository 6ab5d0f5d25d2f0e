"""The health gate: clips whose sound is missing, silent, clipped or out of step never reach the latents unnoticed.

Peers' users met each of these in training, weeks later: silent tracks, mixed frame rates, sounds that start late.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from data.manifest import ClipManifest
from data.media import MediaInfo
from harmony_lit.errors import UserError

_EXAMPLES = 10


@dataclass(frozen=True)
class HealthGate:
    """What a clip must satisfy to be encoded.

    Args:
        min_loudness_db: RMS level of the whole sound, in dB of full scale, below which it counts as silent.
        max_clipped_share: Largest share of samples at full scale.
        max_length_difference_frames: Largest difference between the lengths of picture and sound, in frames.
        max_offset_frames: Latest start of the sound after the first picture, in frames.
        max_jitter_frames: Largest deviation of a frame's time from an even spacing, in frames.
        max_skipped_share: Share of skipped clips above which the encoding fails.
    """

    min_loudness_db: float = -60.0
    max_clipped_share: float = 0.01
    max_length_difference_frames: float = 1.0
    max_offset_frames: float = 1.0
    max_jitter_frames: float = 0.5
    max_skipped_share: float = 0.05

    def reasons(
        self,
        picture_s: float,
        sound: Tensor,
        sample_rate_hz: int,
        info: MediaInfo,
        stored_hz: int | None,
        promised: ClipManifest,
    ) -> list[str]:
        """What is wrong with a clip; nothing if it is healthy.

        Args:
            picture_s: Seconds of picture.
            sound: (S,) samples, not yet fitted to the picture.
            sample_rate_hz: Rate of ``sound``.
            info: What the file with the picture holds.
            stored_hz: Rate of the sound as stored, or None if there is no sound.
            promised: The manifest, with the rates that the clips should have.
        """
        if stored_hz is None or not sound.numel():
            return ["no_sound"]
        found, fps = [], promised.fps
        if loudness_db(sound) < self.min_loudness_db:
            found.append("silent")
        if float((sound.abs() >= 0.999).float().mean()) > self.max_clipped_share:
            found.append("clipped")
        if abs(sound.numel() / sample_rate_hz - picture_s) * fps > self.max_length_difference_frames + 1e-6:
            found.append("length_mismatch")
        if abs(info.audio_start_s) * fps > self.max_offset_frames:
            found.append("sound_offset")
        if info.fps_jitter > self.max_jitter_frames:
            found.append("uneven_frames")
        if stored_hz != promised.sample_rate_hz:
            found.append("wrong_sample_rate")
        if abs(info.fps - fps) > 0.01 * fps:
            found.append("wrong_fps")
        return found


def loudness_db(sound: Tensor) -> float:
    """RMS level in dB of full scale; -120 for digital silence."""
    return 10 * math.log10(max(1e-12, float(sound.double().square().mean())))


@dataclass
class HealthReport:
    """Counts per reason, gathered while encoding and written as ``health.json``."""

    gate: HealthGate
    checked: int = 0
    skipped: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)

    def add(self, key: str, reasons: list[str]) -> None:
        """Counts one clip."""
        self.checked += 1
        self.skipped += bool(reasons)
        for reason in reasons:
            self.reasons[reason] += 1
            if len(self.examples.setdefault(reason, [])) < _EXAMPLES:
                self.examples[reason].append(key)

    def to_json(self) -> dict[str, Any]:
        """A plain dict for ``json.dumps``."""
        return {
            "checked": self.checked,
            "kept": self.checked - self.skipped,
            "skipped": self.skipped,
            "reasons": dict(sorted(self.reasons.items())),
            "examples": self.examples,
            "gate": asdict(self.gate),
        }

    def write(self, path: Path) -> None:
        """Writes the report as json."""
        path.write_text(json.dumps(self.to_json(), indent=1) + "\n")

    def refuse_too_many(self, source: Path) -> None:
        """Fails when more clips were skipped than the gate allows.

        Raises:
            UserError: With the counts per reason and an example of each.
        """
        if self.checked and self.skipped > self.gate.max_skipped_share * self.checked:
            counts = ", ".join(
                f"{reason} {n} (as {self.examples[reason][0]})" for reason, n in self.reasons.most_common()
            )
            raise UserError(
                f"{self.skipped} of {self.checked} clips of {source} are not healthy: {counts}; mend them, "
                f"or raise the gate's max_skipped_share above {self.gate.max_skipped_share}"
            )
