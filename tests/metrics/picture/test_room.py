"""The room as YAML and worker processes see it."""

import pickle

import pytest

from harmony_lit.experiment.nodes import build

WITH_WEIGHTS = {
    "aq": {
        "class_path": "metrics.picture.AestheticQuality",
        "init_args": {
            "head": {
                "class_path": "metrics.picture.LaionLinear",
                "init_args": {"weights": "head.pth", "clip": "./clip", "runtime": {"precision": "fp16"}},
            }
        },
    },
    "iq": {"class_path": "metrics.picture.ImagingQuality", "init_args": {"weights": "musiq.pth", "stride": 2}},
    "dd": {
        "class_path": "metrics.picture.DynamicDegree",
        "init_args": {"flow": {"class_path": "metrics.picture.Raft", "init_args": {"weights": "raft-things.pth"}}},
    },
    "ms": {
        "class_path": "metrics.picture.MotionSmoothness",
        "init_args": {"interpolator": {"class_path": "metrics.picture.Amt", "init_args": {"weights": "amt-s.pth"}}},
    },
    "id": {"class_path": "metrics.picture.IdentityConsistency", "init_args": {"dino": "./dinov3"}},
}
PLAIN = {name: {"class_path": spec["class_path"]} for name, spec in WITH_WEIGHTS.items()}


def build_metrics(specs):
    return {name: build(spec, name) for name, spec in specs.items()}


@pytest.mark.parametrize("specs", [WITH_WEIGHTS, PLAIN])
def test_yaml_names_every_metric_and_a_worker_gets_it(specs):
    metrics = pickle.loads(pickle.dumps(build_metrics(specs)))
    assert [measure.key for metric in metrics.values() for measure in metric.measures] == [
        "aq", "iq", "dd", "flow", "ms", "id",
    ]  # fmt: skip
    needs = {name: metric.missing() for name, metric in metrics.items()}
    assert all(needs[name] for name in ("aq", "iq", "id"))
    assert [needs["dd"] is None, needs["ms"] is None] == [specs is PLAIN] * 2


def test_settings_that_move_the_number_are_in_the_protocol():
    metrics = build_metrics(WITH_WEIGHTS)
    told = {m.key: f"{m.protocol} {m.detector}" for metric in metrics.values() for m in metric.measures}
    assert "fp16" in told["aq"] and "antialiasing" in told["aq"]
    assert "1 frame in 2" in told["iq"]
    assert "RAFT, 20 iterations" in told["dd"]
    assert "AMT-S" in told["ms"]
