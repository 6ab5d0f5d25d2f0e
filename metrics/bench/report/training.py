"""Training curves of a run, read back from its TensorBoard files."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tensorboard.compat.proto.event_pb2 import Event

Curve = list[tuple[float, float]]


@dataclass(frozen=True)
class StageCurves:
    """Scalars of one stage: tag to (step, value)s."""

    stage: str
    scalars: dict[str, Curve]

    def family(self, name: str) -> dict[str, Curve]:
        """Curves tagged ``NAME/...``, by the rest of the tag; single points are no curve."""
        prefix = f"{name}/"
        found = {tag.removeprefix(prefix): curve for tag, curve in self.scalars.items() if tag.startswith(prefix)}
        return {tag: curve for tag, curve in found.items() if len(curve) > 1}


def read_training(run: Path | str) -> list[StageCurves]:
    """The scalars of every folder of event files below ``run``, in the order in which they were written.

    A stage that was killed and resumed has several event files; where steps repeat, the later value counts.
    """
    run = Path(run)
    folders: dict[Path, list[Path]] = {}
    for file in sorted(run.rglob("events.out.tfevents.*"), key=lambda f: (f.stat().st_mtime, f.name)):
        folders.setdefault(file.parent, []).append(file)
    stages = []
    for folder, files in folders.items():
        scalars: dict[str, dict[float, float]] = {}
        for file in files:
            for tag, step, value in read_scalars(file):
                scalars.setdefault(tag, {})[step] = value
        curves = {tag: sorted(points.items()) for tag, points in sorted(scalars.items())}
        stages.append(StageCurves(_stage_name(folder.relative_to(run)), curves))
    return [stage for stage in stages if stage.scalars]


def read_scalars(file: Path) -> Iterator[tuple[str, float, float]]:
    """(tag, step, value) of the scalars in an event file, up to where a killed process stopped writing it.

    TensorBoard's own reader checks sums in plain Python, seconds for a file with pictures; a record is
    length (8 bytes), its check (4), data, check (4).
    """
    data = file.read_bytes()
    start = 0
    while start + 12 <= len(data):
        (length,) = struct.unpack_from("<Q", data, start)
        end = start + 12 + length
        if end + 4 > len(data):
            return
        event = Event.FromString(data[start + 12 : end])
        for value in event.summary.value:
            if value.HasField("simple_value"):
                yield value.tag, float(event.step), float(value.simple_value)
        start = end + 4


def smoothed(curve: Sequence[tuple[float, float]], weight: float = 0.8) -> Curve:
    """Exponential moving average with the start's bias removed, over at least a few dozen points."""
    weight = weight if len(curve) > 40 else 0.0
    total, mass, out = 0.0, 0.0, []
    for step, value in curve:
        total = weight * total + (1 - weight) * value
        mass = weight * mass + (1 - weight)
        out.append((step, total / mass))
    return out


def _stage_name(folder: Path) -> str:
    """The parts of the path that say something: ``stages/3_joint/tensorboard`` is ``3_joint``."""
    noise = {"stages", "tensorboard", "tb", "logs", "lightning_logs", "version_0"}
    return "/".join(p for p in folder.parts if p not in noise) or "training"
