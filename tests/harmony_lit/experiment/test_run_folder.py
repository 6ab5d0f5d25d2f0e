import json
import multiprocessing
from pathlib import Path

import pytest

from harmony_lit.errors import UserError
from harmony_lit.experiment.atomic import remove_scratch, replacing, write_text
from harmony_lit.experiment.compose import Experiment
from harmony_lit.experiment.run_folder import RunFolder, locked


def experiment(**changes: object) -> Experiment:
    config = {"name": "x", "seed": 0, "stages": {"one": {"trainer": {"max_steps": 3}}}, "bench": {"cases": 1}}
    return Experiment({**config, **changes})


def test_a_run_writes_what_it_is_made_with_and_every_start(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.prepare(experiment())
    run.prepare(experiment())
    assert run.experiment() == experiment()
    starts = json.loads((tmp_path / "version.json").read_text())["starts"]
    assert len(starts) == 2
    assert {"time", "command", "torch", "lightning", "harmony-lit", "git"} <= starts[0].keys()


def test_other_settings_are_refused_and_shown(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.prepare(experiment())
    with pytest.raises(UserError, match=r"stages.one.trainer.max_steps: 3 -> 4.*--fresh"):
        run.prepare(experiment(stages={"one": {"trainer": {"max_steps": 4}}}))
    assert run.experiment() == experiment()


def test_what_training_does_not_read_may_change(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.prepare(experiment())
    run.prepare(experiment(bench={"cases": 2}))
    assert run.experiment().config["bench"] == {"cases": 2}


def test_fresh_removes_what_training_wrote_and_nothing_else(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.prepare(experiment())
    for name in ("clips", "stages", "tb"):
        (tmp_path / name).mkdir()
    run.prepare(experiment(seed=1), fresh=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clips", "config.yaml", "version.json"]


def test_a_folder_that_is_no_run_names_the_runs_beside_it(tmp_path: Path) -> None:
    RunFolder(tmp_path / "real").prepare(experiment())
    with pytest.raises(UserError, match="runs beside it: real"):
        RunFolder(tmp_path / "other").experiment()


def _hold(path: Path, ready: object, done: object) -> None:
    with locked(path):
        ready.set()  # type: ignore[attr-defined]
        done.wait()  # type: ignore[attr-defined]


def test_two_processes_cannot_work_in_one_run(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    ready, done = context.Event(), context.Event()
    other = context.Process(target=_hold, args=(tmp_path / ".lock", ready, done))
    other.start()
    assert ready.wait(30)
    with pytest.raises(UserError, match="another `harmony fit`"), locked(tmp_path / ".lock"):
        pass
    done.set()
    other.join()
    with locked(tmp_path / ".lock"):
        pass


def test_a_write_that_fails_leaves_the_old_file_and_no_scratch(tmp_path: Path) -> None:
    write_text(tmp_path / "a", "old")

    def fail() -> None:
        with replacing(tmp_path / "a") as file:
            file.write(b"half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert (tmp_path / "a").read_text() == "old"
    assert list(tmp_path.iterdir()) == [tmp_path / "a"]


def test_what_a_killed_writer_left_is_removed(tmp_path: Path) -> None:
    (tmp_path / "last.ckpt.part-12").write_text("half")
    (tmp_path / "last.ckpt").write_text("whole")
    remove_scratch(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["last.ckpt"]
