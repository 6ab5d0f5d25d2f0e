from pathlib import Path

import pytest

from harmony_lit.errors import UserError
from harmony_lit.experiment.compose import Experiment, compose
from harmony_lit.experiment.merge import differences, merge


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "base.yaml").write_text(
        """
        paths: {latents: runs/latents}
        network: {class_path: torch.nn.Linear, init_args: {in_features: 2, out_features: 3}}
        fit:
          model: {class_path: some.Module, init_args: {network: "${network}", lr: 1e-3}}
          trainer: {max_steps: 10, callbacks: {ema: {class_path: some.EMA}, bar: {class_path: some.Bar}}}
        stages:
          audio: {}
          joint: {trainer: {max_steps: 20}}
        """
    )
    (tmp_path / "child.yaml").write_text(
        """
        extends: base.yaml
        name: child
        network: {init_args: {out_features: 4}}
        stages: {joint: {trainer: {callbacks: {bar: null}}}}
        """
    )
    return tmp_path


def test_a_child_changes_only_what_it_names(folder: Path) -> None:
    base, child = compose(folder / "base.yaml"), compose(folder / "child.yaml")
    assert child.name == "child"
    assert str(child.run_dir) == "runs/child"
    changed = {line.split(":")[0] for line in differences(base.config["stages"], child.config["stages"])}
    assert changed == {
        "audio.model.init_args.network.init_args.out_features",
        "joint.model.init_args.network.init_args.out_features",
        "joint.trainer.callbacks.bar",
    }


def test_stages_lie_over_fit_and_keep_their_order(folder: Path) -> None:
    stages = compose(folder / "base.yaml").stages
    assert list(stages) == ["audio", "joint"]
    assert [stage["trainer"]["max_steps"] for stage in stages.values()] == [10, 20]


def test_an_override_reaches_everything_that_refers_to_it(folder: Path) -> None:
    config = compose(folder / "child.yaml", ["network.init_args.in_features=7"]).config
    assert config["stages"]["audio"]["model"]["init_args"]["network"]["init_args"]["in_features"] == 7


def test_overrides_are_typed_as_omegaconf_types_them(folder: Path) -> None:
    config = compose(folder / "base.yaml", ["fit.model.init_args.lr=1e-4", "stages.joint.trainer.max_steps=3"])
    assert config.stages["audio"]["model"]["init_args"]["lr"] == pytest.approx(1e-4)
    assert config.stages["joint"]["trainer"]["max_steps"] == 3


def test_a_changed_class_path_drops_the_old_classs_arguments(folder: Path) -> None:
    config = compose(folder / "base.yaml", ["network.class_path=torch.nn.Identity"]).config
    assert config["network"] == {"class_path": "torch.nn.Identity"}
    assert merge({"class_path": "a", "init_args": {"x": 1}}, {"class_path": "a", "init_args": {"y": 2}}) == {
        "class_path": "a",
        "init_args": {"x": 1, "y": 2},
    }


def test_null_takes_a_callback_or_a_stage_out(folder: Path) -> None:
    config = compose(folder / "child.yaml", ["stages.audio=null"])
    assert list(config.stages) == ["joint"]
    assert list(config.stages["joint"]["trainer"]["callbacks"]) == ["ema"]
    config = compose(folder / "child.yaml", ["stages.joint.trainer.callbacks.ema=null"])
    assert config.stages["joint"]["trainer"]["callbacks"] == {}


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("sede=1", "sede: there is no such setting. Did you mean 'seed'?"),
        ("paths.latent=x", "Did you mean 'latents'?"),
        ("stages.join.trainer.max_steps=1", "stages.join: there is no such setting. Did you mean 'joint'?"),
        ("stages.joint.trainr.max_steps=1", "Did you mean 'trainer'?"),
        ("fit.modle.class_path=x", "Did you mean 'model'?"),
        ("seed", "write it as a.b.c=value"),
        ("seed=[1", "not a YAML value"),
        ("stages.joint.model.init_args.network.init_args.x=1", "is taken from ${network}"),
    ],
)
def test_a_wrong_override_names_the_path_and_the_nearest_right_name(folder: Path, override: str, said: str) -> None:
    with pytest.raises(UserError) as caught:
        compose(folder / "base.yaml", [override])
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("sead: 1", "sead: there is no such setting. Did you mean 'seed'?"),
        ("extends: bass.yaml", "Did you mean 'base.yaml'?"),
        ("extends: broken.yaml", "extends itself"),
        ("a: [", "not readable as YAML"),
        ("- 1", "is a mapping"),
        ("stages: [1]", "not a list"),
        ("run_dir: ${nam}", "nam"),
        ("stages: {a: {models: 1}}", "Did you mean 'model'?"),
    ],
)
def test_a_broken_file_is_one_sentence(folder: Path, text: str, said: str) -> None:
    (folder / "broken.yaml").write_text(text)
    with pytest.raises(UserError) as caught:
        compose(folder / "broken.yaml")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_written_reads_back_the_same(folder: Path) -> None:
    experiment = compose(folder / "child.yaml", ["seed=5"])
    (folder / "config.yaml").write_text(experiment.to_yaml())
    assert Experiment.load(folder / "config.yaml") == experiment


def test_arguments_wait_for_the_class_that_they_are_for():
    base = {"bench": {"init_args": {"metrics": {"a": 1}}}}
    named = merge(base, {"bench": {"class_path": "x.Bench", "init_args": {"workers": 0}}})
    assert named == {"bench": {"init_args": {"metrics": {"a": 1}, "workers": 0}, "class_path": "x.Bench"}}
    other = merge(named, {"bench": {"class_path": "x.Other"}})
    assert other == {"bench": {"class_path": "x.Other"}}
