import copy
from typing import Any

import pytest

from harmony_lit.errors import UserError
from harmony_lit.experiment.compose import Experiment
from harmony_lit.experiment.merge import merge
from harmony_lit.experiment.validate import validate

TINY = "tests.harmony_lit.experiment.tiny"
EMA = {"class_path": "lightning.pytorch.callbacks.EMAWeightAveraging", "init_args": {"decay": 0.9}}
STAGE = {
    "model": {
        "class_path": f"{TINY}.TinyModule",
        "init_args": {"lr": 1e-3, "part": {"class_path": f"{TINY}.Part", "init_args": {"depth": 2}}},
    },
    "data": {"class_path": f"{TINY}.TinyData"},
    "trainer": {
        "max_steps": 5,
        "callbacks": {
            "ema": {"class_path": "lightning.pytorch.callbacks.EMAWeightAveraging", "init_args": {"decay": 0.9}}
        },
    },
}
SYSTEM = {
    "class_path": "harmony_lit.system.System",
    "init_args": {
        "geometry": {"fps": 25.0},
        "video_codec": {"class_path": "harmony_lit.codecs.conv_video.ConvVideoCodec"},
    },
}


def experiment(**changes: Any) -> Experiment:
    stages = {"audio": copy.deepcopy(STAGE), "joint": merge(STAGE, changes)}
    return Experiment({"name": "tiny", "seed": 0, "run_dir": "runs/tiny", "stages": stages})


def message(broken: Experiment) -> str:
    with pytest.raises(UserError) as caught:
        validate(broken)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_sound_experiment_passes() -> None:
    validate(experiment(start_from={"stage": "audio", "weights": "raw", "may_be_missing": ["head.*"]}))
    published = [{"path": "wan/"}, {"path": "ovi.safetensors", "part": "network.audio"}]
    validate(experiment(start_from={"pretrained": published, "may_be_missing": ["network.interaction.*"]}))


@pytest.mark.parametrize(
    ("change", "path", "said"),
    [
        ({"trainer": {"max_stepz": 1}}, "trainer.max_stepz", "Did you mean 'max_steps'?"),
        ({"trainer": {"accumulate_grad_batches": "a"}}, "trainer.accumulate_grad_batches", "expected int, got 'a'"),
        ({"trainer": {"max_steps": -1}}, "trainer.max_steps", "optimiser steps"),
        ({"model": {"init_args": {"lrr": 1}}}, "model.init_args.lrr", "Did you mean 'lr'?"),
        ({"model": {"init_args": {"lr": "fast"}}}, "model.init_args.lr", "expected float, got 'fast'"),
        ({"model": {"class_path": f"{TINY}.TinyModul"}}, "model.class_path", "Did you mean 'TinyModule'?"),
        ({"model": {"class_path": "tests.harmony_lit.experiment.tinny.X"}}, "model.class_path", "Did you mean 'tiny'?"),
        ({"model": {"class_path": "nowhere.X"}}, "model.class_path", "there is no module 'nowhere'"),
        ({"model": {"class_path": "torch.nn.Linear"}}, "model", "Linear"),
        (
            {"model": {"init_args": {"part": {"init_args": {"dept": 1}}}}},
            "model.init_args.part.init_args.dept",
            "Did you mean 'depth'?",
        ),
        (
            {"model": {"init_args": {"part": {"init_args": {"depth": [1]}}}}},
            "model.init_args.part.init_args.depth",
            "expected int",
        ),
        (
            {"model": {"init_args": {"part": {"class_path": "torch.nn.Flatten"}}}},
            "model.init_args.part",
            "is not a Part",
        ),
        (
            {"trainer": {"callbacks": {"ema": {"init_args": {"decai": 0.9}}}}},
            "trainer.callbacks.ema.init_args.decai",
            "Did you mean 'decay'?",
        ),
        ({"trainer": {"callbacks": {"bar": {"init_args": {}}}}}, "trainer.callbacks.bar", "needs a class_path"),
        ({"data": {"init_arg": {}}}, "data.init_arg", "Write init_args"),
        ({"start_from": {"stage": "audoi"}}, "start_from.stage", "Did you mean 'audio'?"),
        ({"start_from": {"weights": "ema"}}, "start_from", "give either an earlier stage or a path"),
        ({"start_from": {"stage": "audio", "path": "a"}}, "start_from", "give either an earlier stage or a path"),
        ({"start_from": {"pretrained": [{"part": "network.video"}]}}, "start_from.pretrained", "path"),
        ({"start_from": {"pretrained": [{"path": "a", "prat": "b"}]}}, "start_from.pretrained", "prat"),
        ({"start_from": {"pretrained": "wan.safetensors"}}, "start_from.pretrained", "wan.safetensors"),
        ({"start_from": {"stage": "audio", "weights": "mean"}}, "start_from.weights", "'mean'"),
        ({"checkpoint": {"every_step": 1}}, "checkpoint.every_step", "Did you mean 'every_n_steps'?"),
    ],
)
def test_a_mistake_is_told_by_path_and_nearest_name(change: dict[str, Any], path: str, said: str) -> None:
    told = message(experiment(**change))
    assert told.startswith(f"stages.joint.{path}")
    assert said in told


def test_a_required_argument_is_asked_for() -> None:
    broken = Experiment({**experiment().config, "system": SYSTEM})
    told = message(broken)
    assert told.startswith("system")
    assert "audio_codec" in told


def test_settings_of_a_dataclass_are_checked_too() -> None:
    system = merge(SYSTEM, {"init_args": {"geometry": {"fpz": 3}}})
    assert "Did you mean 'fps'?" in message(Experiment({**experiment().config, "system": system}))


def test_the_seed_is_a_whole_number() -> None:
    assert "seed" in message(Experiment({**experiment().config, "seed": 1.5}))
