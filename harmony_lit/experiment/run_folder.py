"""The folder of a run: what lies where, what it was made with, and who is at work in it.

RUN/config.yaml                     the experiment, composed and resolved
RUN/version.json                    package, git and library versions and the command line of every start
RUN/stages/STAGE/last.ckpt          from which the stage goes on
RUN/stages/STAGE/weights.safetensors  what it ended with (the moving average if it keeps one)
RUN/stages/STAGE/adapter/           its adapters alone, as peft has them, if it trained any
RUN/stages/STAGE/done.json          written last
RUN/tb/STAGE                        TensorBoard; `tensorboard --logdir RUN` shows all stages
"""

from __future__ import annotations

import fcntl
import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harmony_lit.errors import UserError
from harmony_lit.experiment.atomic import write_json, write_text
from harmony_lit.experiment.compose import Experiment
from harmony_lit.experiment.merge import differences

# Settings that training does not read: they may change between two starts of the same run.
NOT_TRAINED = ("description", "sampling", "bench")


@dataclass(frozen=True)
class StageFolder:
    """The files of one stage."""

    path: Path

    @property
    def checkpoint(self) -> Path:
        """Where the stage's state is kept."""
        return self.path / "last.ckpt"

    @property
    def weights(self) -> Path:
        """What the stage ended with."""
        return self.path / "weights.safetensors"

    @property
    def adapter(self) -> Path:
        """The adapters that the stage trained; the weights hold them merged."""
        return self.path / "adapter"

    @property
    def done(self) -> bool:
        """Whether the stage has ended."""
        return (self.path / "done.json").is_file()

    def finish(self, facts: dict[str, Any]) -> None:
        """Marks the stage as ended."""
        write_json(self.path / "done.json", {**facts, "finished": _now()})


@dataclass(frozen=True)
class RunFolder:
    """The files of a run."""

    path: Path

    @property
    def config(self) -> Path:
        """The composed experiment."""
        return self.path / "config.yaml"

    @property
    def exported(self) -> Path:
        """The weights beside the configuration, where this is what `harmony weights export` wrote."""
        return self.path / "weights.safetensors"

    def stage(self, name: str) -> StageFolder:
        """The files of a stage."""
        return StageFolder(self.path / "stages" / name)

    def tensorboard(self, stage: str) -> Path:
        """Where a stage logs."""
        return self.path / "tb" / stage

    def experiment(self) -> Experiment:
        """The experiment that the run was made with.

        Raises:
            UserError: If this is no run folder.
        """
        if not self.config.is_file():
            raise UserError(f"{self.path} is not a run: it has no config.yaml{_runs_beside(self.path)}")
        return Experiment.load(self.config)

    def prepare(self, experiment: Experiment, fresh: bool = False) -> None:
        """Writes what the run is made with, or checks that it is what it was.

        Raises:
            UserError: If the folder holds a run with other settings.
        """
        if fresh:
            self._clear()
        if self.config.is_file():
            self._check_same(self.experiment(), experiment)
        write_text(self.config, experiment.to_yaml())
        log = self.path / "version.json"
        starts = json.loads(log.read_text())["starts"] if log.is_file() else []
        write_json(log, {"starts": [*starts, versions()]})

    def _check_same(self, old: Experiment, new: Experiment) -> None:
        def trained(experiment: Experiment) -> dict[str, Any]:
            return {key: value for key, value in experiment.config.items() if key not in NOT_TRAINED}

        changes = differences(trained(old), trained(new))
        if changes:
            shown = "; ".join(changes[:5]) + (f"; and {len(changes) - 5} more" if len(changes) > 5 else "")
            raise UserError(f"{self.path} holds a run with other settings ({shown}): give another name=..., or --fresh")

    def _clear(self) -> None:
        """Removes what training wrote, and nothing else: clips and latents may lie in the same folder."""
        for name in ("stages", "tb"):
            shutil.rmtree(self.path / name, ignore_errors=True)
        for name in ("config.yaml", "version.json"):
            (self.path / name).unlink(missing_ok=True)
        phases = self.path / "phases.json"
        if phases.is_file():
            kept = [entry for entry in json.loads(phases.read_text()) if not entry["name"].startswith("fit")]
            write_json(phases, kept)


@contextmanager
def locked(path: Path, wait_s: float = 0.0) -> Iterator[None]:
    """Holds ``path`` as a lock for the length of the block; the lock dies with the process.

    Raises:
        UserError: If another process has held it for ``wait_s`` seconds.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
    until = time.monotonic() + wait_s
    try:
        while True:
            try:
                # A POSIX record lock: unlike flock's it is not passed on to the loader's worker processes.
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                if time.monotonic() >= until:
                    raise UserError(f"{path.parent}: another `harmony fit` is at work in this run") from None
                time.sleep(0.2)
        yield
    finally:
        os.close(file)


def versions() -> dict[str, Any]:
    """When, with what code and with what command line a run was started."""
    packages = ("harmony-lit", "torch", "lightning")
    return {
        "time": _now(),
        "command": sys.argv,
        **{name: _version(name) for name in packages},
        "python": sys.version.split()[0],
        "git": _git(),
    }


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _git() -> dict[str, Any] | None:
    """Commit of the source tree and whether files differ from it; None outside of git."""

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(Path(__file__).parent), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        return {"commit": git("rev-parse", "HEAD"), "dirty": bool(git("status", "--porcelain"))}
    except (OSError, subprocess.CalledProcessError):
        return None


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _runs_beside(path: Path) -> str:
    found = sorted(p.parent.name for p in path.parent.glob("*/config.yaml")) if path.parent.is_dir() else []
    return f"; runs beside it: {', '.join(found[:8])}" if found else ""
