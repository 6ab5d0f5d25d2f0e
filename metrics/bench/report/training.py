"""Training curves of a run, read back from its TensorBoard files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import SCALARS, EventAccumulator

Curve = list[tuple[float, float]]


@dataclass(frozen=True)
class StageCurves:
    """Scalars of one stage: tag to (step, value)s."""

    stage: str
    scalars: dict[str, Curve]

    def family(self, prefix: str) -> dict[str, Curve]:
        """Curves whose tag starts with ``prefix``, by the rest of the tag; single points are no curve."""
        found = {t.removeprefix(prefix).strip("/_"): c for t, c in self.scalars.items() if t.startswith(prefix)}
        return {name or "total": curve for name, curve in found.items() if len(curve) > 1}


def read_training(run: Path | str) -> list[StageCurves]:
    """The scalars of every folder of event files below ``run``, in the order in which they were written.

    A stage that was killed and resumed has several event files; where steps repeat, the later value counts.
    """
    run = Path(run)
    folders: dict[Path, list[Path]] = {}
    for file in sorted(run.rglob("events.out.tfevents.*"), key=lambda f: f.stat().st_mtime):
        folders.setdefault(file.parent, []).append(file)
    stages = []
    for folder, files in folders.items():
        scalars: dict[str, dict[float, float]] = {}
        for file in files:
            events = EventAccumulator(str(file), size_guidance={SCALARS: 0}).Reload()
            for tag in events.Tags()["scalars"]:
                for event in events.Scalars(tag):
                    scalars.setdefault(tag, {})[float(event.step)] = float(event.value)
        curves = {tag: sorted(points.items()) for tag, points in sorted(scalars.items())}
        stages.append(StageCurves(_stage_name(folder.relative_to(run)), curves))
    return [stage for stage in stages if stage.scalars]


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
