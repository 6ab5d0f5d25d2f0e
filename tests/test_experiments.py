"""Every shipped experiment composes, validates and builds, and the ablation ladder changes one thing a step."""

from pathlib import Path

import pytest
import torch

from harmony_lit.experiment.compose import compose
from harmony_lit.experiment.load import build_system
from harmony_lit.experiment.merge import differences
from harmony_lit.experiment.nodes import build
from harmony_lit.experiment.validate import validate

FOLDER = Path(__file__).resolve().parents[1] / "experiments"
SHIPPED = sorted(path for path in FOLDER.rglob("*.yaml") if path.parent.name != "base")
LADDER = sorted((FOLDER / "ablation").glob("*.yaml"))
# What may differ from the step before, by the name of the step.
CHANGES = {
    "1_gldi": ("network.init_args.interaction", "network.init_args.style"),
    "2_rope": ("network.init_args.interaction.init_args.alignment",),
    "3_cts": (
        "stages.joint.model.init_args.tasks.init_args.tasks.audio_driven",
        "stages.joint.model.init_args.tasks.init_args.tasks.video_driven",
    ),
    "4_sync_cfg": ("sampling.init_args.guidance",),
}


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: str(path.relative_to(FOLDER).with_suffix("")))
def test_every_experiment_validates_and_builds(path: Path) -> None:
    experiment = compose(path)
    validate(experiment)
    for name, stage in experiment.stages.items():
        # Models of billions of parameters are built without their values.
        with torch.device("meta" if path.parent.name == "full" else "cpu"):
            assert build(stage["model"], f"stages.{name}.model") is not None
        assert build(stage["data"], f"stages.{name}.data") is not None
    if "system" in experiment.config:
        assert build_system(experiment).geometry.latent_frames(experiment.config["clip"]["frames"]) > 0
    for section in ("sampling", "bench"):
        if section in experiment.config:
            build(experiment.config[section], section)


def test_the_ladder_has_its_five_steps() -> None:
    assert [path.stem for path in LADDER] == ["0_global", *CHANGES]


@pytest.mark.parametrize("step", range(1, 5))
def test_an_ablation_changes_only_what_its_name_says(step: int) -> None:
    before, after = compose(LADDER[step - 1]).config, compose(LADDER[step]).config
    assert before["name"] != after["name"]
    for key in ("name", "run_dir", "description"):
        del before[key], after[key]
    changed = {line.split(":")[0] for line in differences(before, after)}
    allowed = CHANGES[LADDER[step].stem]
    # Stages refer to network and sampling, so the same change shows there too.
    inside = tuple(f"stages.{stage}.model.init_args." for stage in after["stages"])
    stray = [path for path in changed if not _is_allowed(path, allowed, inside)]
    assert not stray
    assert all(any(path.startswith(name) for path in changed) for name in allowed)


def _is_allowed(path: str, allowed: tuple[str, ...], inside: tuple[str, ...]) -> bool:
    spelled = list(allowed)
    for prefix in inside:
        spelled += [prefix + name.replace("sampling.", "sampler.") for name in allowed]
    return any(path == name or path.startswith(f"{name}.") for name in spelled)


def test_the_ladder_ends_at_the_quickstart() -> None:
    top, quickstart = compose(LADDER[-1]).config, compose(FOLDER / "quickstart.yaml").config
    for key in ("name", "run_dir", "description", "bench"):
        del top[key], quickstart[key]
    assert differences(quickstart, top) == []


def test_checking_leaves_the_experiment_as_it_was() -> None:
    experiment = compose("quickstart")
    validate(experiment)
    assert experiment == compose("quickstart")
