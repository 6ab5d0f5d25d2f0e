"""A stage that trains adapters: what it leaves, and that a failure in between changes nothing."""

from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
import yaml

from harmony_lit.experiment.checkpoints import read_checkpoint
from harmony_lit.experiment.compose import compose
from harmony_lit.experiment.run_folder import RunFolder
from harmony_lit.experiment.train import train_stage
from harmony_lit.experiment.weights import own_piece
from tests.harmony_lit.builders import make_model

ADAPTED = "tests.harmony_lit.experiment.adapted"
LORA = "harmony_lit.training.lora.LoRA"
VIDEO = {"targets": ["network.video.blocks.*.self_attn.{q,v}"], "rank": 2}
AUDIO = {"targets": ["network.audio.blocks.*.attn.k"], "rank": 3, "train_also": ["network.interaction.*"]}


def experiment(folder: Path) -> dict[str, Any]:
    return {
        "name": "adapted",
        "run_dir": str(folder),
        "fit": {
            "model": {"class_path": f"{ADAPTED}.AdaptedModule"},
            "data": {"class_path": f"{ADAPTED}.AdaptedData"},
            "trainer": {
                "accelerator": "cpu",
                "max_epochs": -1,
                "max_steps": 4,
                "logger": False,
                "enable_progress_bar": False,
                "enable_model_summary": False,
                "callbacks": {"ema": {"class_path": "harmony_lit.training.ema.EMA", "init_args": {"decay": 0.5}}},
            },
            "checkpoint": {"every_n_steps": 2},
        },
        "stages": {
            "base": {"trainer": {"max_steps": 1}},
            "lora": {
                "start_from": {"stage": "base", "pretrained": [{"path": str(folder.parent / "wan.safetensors")}]},
                "model": {
                    "init_args": {
                        "adapters": {
                            "video": {"class_path": LORA, "init_args": VIDEO},
                            "audio": {"class_path": LORA, "init_args": AUDIO},
                        }
                    }
                },
            },
            "next": {"start_from": {"stage": "lora", "weights": "raw"}, "trainer": {"max_steps": 1}},
        },
    }


def prepared(folder: Path) -> RunFolder:
    torch.manual_seed(5)
    wan = {name: torch.randn_like(value) for name, value in make_model().video.state_dict().items()}
    safetensors.torch.save_file(wan, folder / "wan.safetensors")
    (folder / "x.yaml").write_text(yaml.safe_dump(experiment(folder / "run")))
    run = RunFolder(folder / "run")
    run.prepare(compose(folder / "x.yaml"))
    train_stage(run, "base")
    return run


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    run = prepared(tmp_path_factory.mktemp("whole"))
    assert train_stage(run, "lora")
    return run


def test_interrupted_it_ends_with_the_same_adapters_bit_for_bit(whole: RunFolder, tmp_path: Path) -> None:
    run = prepared(tmp_path)
    (tmp_path / "fail").write_text("3")
    with pytest.raises(RuntimeError, match="as ordered"):
        train_stage(run, "lora")
    assert read_checkpoint(run.stage("lora").checkpoint)["global_step"] == 2
    assert train_stage(run, "lora")
    for file in ("weights.safetensors", "adapter/adapter_model.safetensors", "adapter/adapter_config.json"):
        assert (run.stage("lora").path / file).read_bytes() == (whole.stage("lora").path / file).read_bytes()


def test_the_weights_it_leaves_are_plain_and_the_base_is_where_it_was(whole: RunFolder) -> None:
    folder = whole.stage("lora")
    weights = safetensors.torch.load_file(folder.weights)
    assert weights.keys() == {f"network.{name}" for name in make_model().state_dict()}
    wan = safetensors.torch.load_file(whole.path.parent / "wan.safetensors")
    for name, value in wan.items():
        same = torch.equal(weights[f"network.video.{name}"], value)
        assert same != name.endswith(("self_attn.q.weight", "self_attn.v.weight"))
    before = safetensors.torch.load_file(whole.stage("base").weights)
    assert not torch.equal(
        weights["network.interaction." + some(before)], before["network.interaction." + some(before)]
    )


def some(weights: dict[str, torch.Tensor]) -> str:
    """A trained tensor of the interaction."""
    return next(n for n in weights if n.startswith("network.interaction.") and n.endswith("o.weight"))[20:]


def test_a_checkpoint_holds_no_frozen_base(whole: RunFolder) -> None:
    checkpoint = read_checkpoint(whole.stage("lora").checkpoint)
    for state in (checkpoint["state_dict"], checkpoint["current_model_state"]):
        assert state and all(".lora_" in name or ".interaction." in name for name in state)


def test_the_checkpoint_alone_is_read_as_plain_weights(whole: RunFolder) -> None:
    piece = own_piece(whole.stage("lora").checkpoint)
    weights = safetensors.torch.load_file(whole.stage("lora").weights)
    assert dict.fromkeys(weights, True) == {
        name: torch.equal(piece.read(name, published), weights[name]) for name, published in piece.names().items()
    }


def test_the_next_stage_starts_from_it(whole: RunFolder) -> None:
    assert train_stage(whole, "next")
    assert not whole.stage("next").adapter.exists()
