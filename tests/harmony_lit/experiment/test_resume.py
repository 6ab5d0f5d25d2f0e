"""Killed at any moment and run again, a run ends with the same weights, bit for bit."""

import multiprocessing
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file

from harmony_lit.experiment.compose import Experiment, compose
from harmony_lit.experiment.run import StageError, fit

TINY = "tests.harmony_lit.experiment.tiny"
EXPERIMENT: dict[str, Any] = {
    "seed": 3,
    "fit": {
        "model": {"class_path": f"{TINY}.TinyModule"},
        "data": {"class_path": f"{TINY}.TinyData"},
        "trainer": {
            "accelerator": "cpu",
            "max_epochs": -1,
            "max_steps": 12,
            "val_check_interval": 5,
            "check_val_every_n_epoch": None,
            "num_sanity_val_steps": 0,
            "enable_progress_bar": False,
            "enable_model_summary": False,
            "log_every_n_steps": 1,
            "callbacks": {
                "ema": {"class_path": "lightning.pytorch.callbacks.EMAWeightAveraging", "init_args": {"decay": 0.9}}
            },
        },
        "checkpoint": {"every_n_steps": 4},
    },
    "stages": {"one": {}, "two": {"start_from": {"stage": "one", "weights": "raw"}}},
}


# Imports Lightning once and forks from there, so that a stage starts in a blink.
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["harmony_lit.experiment.train", TINY])


def experiment(folder: Path, **changes: Any) -> Experiment:
    path = folder.with_suffix(".yaml")
    path.write_text(yaml.safe_dump({**EXPERIMENT, "name": folder.name, "run_dir": str(folder), **changes}))
    return compose(path)


def ends(folder: Path) -> dict[str, bytes]:
    return {stage: (folder / "stages" / stage / "weights.safetensors").read_bytes() for stage in ("one", "two")}


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("whole") / "run"
    fit(experiment(folder), context=CONTEXT)
    return ends(folder)


@pytest.mark.parametrize(
    "place",
    ["step one 2", "step one 9", "validation one 5", "validation one 10", "write one 4", "write one 12", "end one 12",
     "step two 0", "write two 8"],
)  # fmt: skip
def test_killed_anywhere_it_ends_with_the_same_weights(
    tmp_path: Path, uninterrupted: dict[str, bytes], place: str
) -> None:
    (tmp_path / "kill").write_text(place)
    with pytest.raises(StageError, match="killed by signal 9"):
        fit(experiment(tmp_path / "run"), context=CONTEXT)
    (tmp_path / "kill").unlink()
    fit(experiment(tmp_path / "run"), context=CONTEXT)
    assert ends(tmp_path / "run") == uninterrupted


def test_a_stage_of_no_steps_leaves_the_weights_that_it_starts_from(tmp_path: Path) -> None:
    stages = {"one": {}, "two": {"start_from": {"stage": "one", "weights": "ema"}, "trainer": {"max_steps": 0}}}
    fit(experiment(tmp_path / "run", stages=stages), context=CONTEXT)
    one, two = (load_file(tmp_path / "run" / "stages" / stage / "weights.safetensors") for stage in ("one", "two"))
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)
