"""The stages of an experiment, one after the other, each a process of its own."""

from __future__ import annotations

import itertools
import multiprocessing
import sys
import time
from multiprocessing.context import BaseContext
from pathlib import Path

from harmony_lit.errors import UserError
from harmony_lit.experiment.compose import Experiment
from harmony_lit.experiment.phases import phase
from harmony_lit.experiment.run_folder import RunFolder, locked
from harmony_lit.experiment.stage import StartFrom
from harmony_lit.experiment.weights import read_published


class StageError(Exception):
    """A stage's process ended before its last step.

    Attributes:
        exit_code: What to end with.
    """

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def fit(experiment: Experiment, fresh: bool = False, context: BaseContext | None = None) -> RunFolder:
    """Trains the stages that are not done yet, and goes on with the one that was interrupted.

    Args:
        experiment: A validated experiment.
        fresh: Remove what an earlier run left in the folder.
        context: How stage processes start. By default they are forked, which spares each the ten seconds that
            importing Lightning takes; nothing has used a GPU or a thread pool before.

    Raises:
        UserError: If there is no stage, the folder holds a run with other settings, another process is at work in it,
            or published weights that a stage starts from cannot be opened.
        StageError: If a stage ended early.
    """
    if not experiment.stages:
        raise UserError(f"stages: {experiment.name} has none, so there is nothing to train")
    run = RunFolder(experiment.run_dir)
    _check_published(run, experiment, fresh)
    context = context or multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    with locked(run.path / ".lock"):
        with phase(run.path, "fit check", whole_process=True):
            run.prepare(experiment, fresh)
        _check_order(run, list(experiment.stages))
        for number, name in enumerate(experiment.stages, start=1):
            title = f"stage {number}/{len(experiment.stages)} {name}"
            if run.stage(name).done:
                print(f"{title}: done before")
                continue
            steps = experiment.stages[name]["trainer"]["max_steps"]
            print(f"{title}: {steps} steps", flush=True)
            began = time.monotonic()
            _run_stage(context, run, name)
            print(f"{title}: done in {_clock(time.monotonic() - began)}", flush=True)
    return run


def _run_stage(context: BaseContext, run: RunFolder, name: str) -> None:
    # BaseContext lacks the attribute in typeshed; every concrete context has it.
    process = context.Process(target=_stage_process, args=(run.path, name), name=f"stage {name}")  # type: ignore[attr-defined]
    process.start()
    while process.is_alive():
        try:
            process.join()
        except KeyboardInterrupt:
            continue  # the stage got the same Ctrl-C from the terminal; it saves and ends by itself
    code = process.exitcode
    if code == 130:
        raise KeyboardInterrupt
    if code < 0:
        raise StageError(f"stage {name} was killed by signal {-code}; the same command goes on from its last save", 1)
    if code != 0:
        raise StageError("", code)  # the stage has said why itself


def _stage_process(run: Path, name: str) -> None:
    from harmony_lit.cli import stage
    from harmony_lit.experiment.train import die_with_parent

    die_with_parent()
    # What Lightning's launcher runs again, as `python -m`, for the other ranks of a multi-device fit.
    sys.argv = [str(stage.__file__), str(run), name]
    sys.modules["__main__"].__spec__ = stage.__spec__
    sys.exit(stage.main(sys.argv[1:]))


def _check_order(run: RunFolder, names: list[str]) -> None:
    """A stage that is not done must have nothing after it, since what follows began with its weights."""
    for before, after in itertools.pairwise(names):
        if run.stage(after).path.exists() and not run.stage(before).done:
            raise UserError(
                f"{run.stage(after).path} began with the end of stage '{before}', which is gone: "
                f"remove it, or use --fresh to begin anew"
            )


def _check_published(run: RunFolder, experiment: Experiment, fresh: bool) -> None:
    """Opens the weights that later stages will ask for, lest the last of them fails after days."""
    for name, stage in experiment.stages.items():
        begun = run.stage(name).checkpoint.is_file() and not fresh
        if stage.get("start_from") and not begun:
            try:
                read_published(StartFrom.of(stage["start_from"]))
            except UserError as error:
                raise UserError(f"stages.{name}.start_from.pretrained: {error}") from error


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
