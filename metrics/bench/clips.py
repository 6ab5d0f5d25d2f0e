"""The clips of one variant on disk: written once, found again by what they were made with."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from data.media import encode_flac, encode_mp4
from harmony_lit.containers import Clip
from harmony_lit.experiment.atomic import write_json
from metrics.bench.cases import BenchCase

_INDEX = "index.json"


class ClipFolder:
    """``KEY.mp4`` to look at and, beside it, the lossless ``KEY.flac`` that is scored.

    ``index.json`` maps each key to a digest of the case and of all settings its clip depends on, so that a bench that
    was killed goes on where it was, and one with other settings begins anew.

    Args:
        path: The folder; made if missing.
        settings: What the clips depend on beside their case.
    """

    def __init__(self, path: Path | str, settings: Mapping[str, Any]) -> None:
        self.path = Path(path)
        self.settings = settings
        self.path.mkdir(parents=True, exist_ok=True)
        index = self.path / _INDEX
        self._index: dict[str, dict[str, Any]] = json.loads(index.read_text()) if index.is_file() else {}

    def missing(self, cases: Sequence[BenchCase]) -> list[BenchCase]:
        """The cases without a clip made with these settings."""
        digests = {key: entry["digest"] for key, entry in self._index.items()}
        return [c for c in cases if digests.get(c.key) != self._digest(c) or not self.video(c).is_file()]

    def forget(self, cases: Sequence[BenchCase]) -> None:
        """Takes cases out of the index before they are made anew: half a folder must not pass for the old."""
        for case in cases:
            self._index.pop(case.key, None)
        self.save()

    def video(self, case: BenchCase) -> Path:
        """The mp4 of a case."""
        return self.path / f"{case.key}.mp4"

    def write(self, case: BenchCase, clip: Clip, notes: Mapping[str, float] | None = None) -> None:
        """Writes a clip; ``notes`` are numbers known only while it is made."""
        self.video(case).with_suffix(".flac").write_bytes(encode_flac(clip.audio, clip.sample_rate_hz))
        self.video(case).write_bytes(encode_mp4(clip))
        self._enter(case, notes)

    def copy(self, case: BenchCase, source: Path) -> None:
        """Takes a clip over as it is, with its lossless sound if it has one."""
        for suffix in (".flac", ".mp4"):
            if source.with_suffix(suffix).is_file():
                shutil.copyfile(source.with_suffix(suffix), self.video(case).with_suffix(suffix))
        self._enter(case, None)

    def save(self) -> None:
        """Writes the index; what was written since the last save is made again if the process is killed."""
        write_json(self.path / _INDEX, dict(sorted(self._index.items())))

    def mean_notes(self) -> dict[str, float]:
        """The mean of each note over the clips that have it."""
        notes = [entry["notes"] for entry in self._index.values()]
        names = dict.fromkeys(name for note in notes for name in note)
        return {name: fmean(note[name] for note in notes if name in note) for name in names}

    def _enter(self, case: BenchCase, notes: Mapping[str, float] | None) -> None:
        self._index[case.key] = {"digest": self._digest(case), "notes": dict(notes or {})}

    def _digest(self, case: BenchCase) -> str:
        # Not the folder that the run lies in: a run may be moved.
        asked = dataclasses.asdict(case)
        asked.update({k: Path(asked[k]).name for k in ("reference_image", "reference_audio", "truth") if asked[k]})
        text = json.dumps([asked, self.settings], sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:16]
