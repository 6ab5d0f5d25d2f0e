"""Finds the trained model of a run again."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from lightning.pytorch import LightningModule

from harmony_lit.errors import UserError, nearest
from harmony_lit.experiment.compose import Experiment, compose
from harmony_lit.experiment.nodes import build
from harmony_lit.experiment.run_folder import RunFolder, StageFolder
from harmony_lit.experiment.weights import own_piece
from harmony_lit.model import DualBranchDiT
from harmony_lit.pretrained.load import load_pieces
from harmony_lit.sampling import Sampler
from harmony_lit.system import System
from harmony_lit.training.precision import to_bfloat16


@dataclass(frozen=True)
class LoadedRun:
    """A trained model and what belongs to it.

    Attributes:
        run: The run's folder.
        experiment: What the run was made with, overrides laid on.
        stage: Whose weights the module has.
        weights_path: The file they came from.
        module: In evaluation mode, with the moving average of the weights if the stage keeps one.
    """

    run: RunFolder
    experiment: Experiment
    stage: str
    weights_path: Path
    module: LightningModule

    @property
    def system(self) -> System:
        """Codecs and encoders, as the module has them."""
        system = self.module.system
        assert isinstance(system, System)
        return system

    def sampler(self) -> Sampler:
        """The experiment's sampler."""
        sampler: Sampler = build(self.experiment.config["sampling"], "sampling")
        return sampler

    @property
    def precision(self) -> str:
        """Lightning's name of the precision that the stage was trained in."""
        return str(self.experiment.stages[self.stage]["trainer"].get("precision", "32-true"))

    def network_on(self, device: str) -> DualBranchDiT:
        """The model where it is sampled from, in the type of its weights and offloaded if ``sampling`` says so."""
        network = self.module.network
        assert isinstance(network, DualBranchDiT)
        if self.precision == "bf16-true":
            to_bfloat16(network)
        return network.place(device, self.sampler().offload)

    def clip_size(self) -> tuple[int, int, int]:
        """Frames, rows and columns of the clips to sample."""
        clip = self.experiment.config["clip"]
        return clip["frames"], clip["height"], clip["width"]

    def digest(self) -> str:
        """Hex digest of the weights file."""
        with self.weights_path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()


def build_system(experiment: Experiment) -> System:
    """The experiment's codecs and encoders."""
    if "system" not in experiment.config:
        raise UserError(f"experiment '{experiment.name}' has no system")
    system: System = build(experiment.config["system"], "system")
    return system


def load_run(path: Path | str, stage: str | None = None, overrides: tuple[str, ...] | list[str] = ()) -> LoadedRun:
    """Rebuilds a trained model.

    Args:
        path: A run folder, a stage's folder, or a checkpoint or weights file in one.
        stage: Whose weights to take; by default the last stage that has any.
        overrides: Changes to ``sampling``, ``bench``, ``clip`` and ``paths``; the model is what was trained.

    Raises:
        UserError: If there is no run, no such stage, or no weights yet; the message says what is there.
    """
    path = Path(path)
    run, named, file = locate(path)
    if stage is None:
        stage = named
    for override in overrides:
        if override.split(".")[0] not in ("sampling", "bench", "clip", "paths"):
            raise UserError(
                f"override {override}: of a trained run only sampling, bench, clip and paths can be changed"
            )
    experiment = run.experiment() if not overrides else compose(run.config, overrides)
    name, weights_path = find_weights(run, experiment, stage, file)
    module: LightningModule = build(experiment.stages[name]["model"], f"stages.{name}.model")
    load_pieces(module, [own_piece(weights_path)])
    return LoadedRun(run, experiment, name, weights_path, module.eval())


def find_weights(
    run: RunFolder, experiment: Experiment, stage: str | None = None, file: Path | None = None
) -> tuple[str, Path]:
    """Name of the stage, by default the last that has weights, and the file that they are in.

    Raises:
        UserError: If there is no such stage, or no weights yet.
    """
    name = stage or _last_stage(run, experiment)
    if name not in experiment.stages:
        raise UserError(f"{run.path} has no stage '{name}'.{nearest(name, experiment.stages)}")
    return name, file or _weights_of(run.stage(name), run, experiment)


def locate(path: Path) -> tuple[RunFolder, str | None, Path | None]:
    """The run that ``path`` belongs to, the stage and the file if it names them."""
    file = path if path.is_file() else None
    folder = path.parent if file else path
    if (folder / "config.yaml").is_file() and (file is None or file == RunFolder(folder).exported):
        return RunFolder(folder), None, None
    run = folder.parent.parent
    if folder.parent.name == "stages" and (run / "config.yaml").is_file():
        return RunFolder(run), folder.name, file
    if not path.exists():
        raise UserError(f"there is no run or checkpoint at {path}.{_known_runs(path)}")
    raise UserError(f"{path} is neither a run folder nor a checkpoint in one (RUN/stages/STAGE/last.ckpt)")


def _last_stage(run: RunFolder, experiment: Experiment) -> str:
    for name in reversed(experiment.stages):
        if run.exported.is_file() or run.stage(name).weights.is_file() or run.stage(name).checkpoint.is_file():
            return name
    raise UserError(f"{run.path} has no weights yet: no stage has saved any; run `harmony fit` on it first")


def _weights_of(folder: StageFolder, run: RunFolder, experiment: Experiment) -> Path:
    for candidate in (run.exported, folder.weights, folder.checkpoint):
        if candidate.is_file():
            return candidate
    ready = [n for n in experiment.stages if run.stage(n).weights.is_file() or run.stage(n).checkpoint.is_file()]
    there = f"; there are weights of {', '.join(ready)}" if ready else ""
    raise UserError(f"stage '{folder.path.name}' of {run.path} has no weights yet{there}")


def _known_runs(path: Path) -> str:
    for root in (path.parent, Path("runs")):
        runs = [str(found.parent) for found in root.glob("*/config.yaml")] if root.is_dir() else []
        if runs:
            return nearest(str(path), runs)
    return ""
