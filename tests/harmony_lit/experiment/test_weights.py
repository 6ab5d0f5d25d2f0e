from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import nn

from harmony_lit.errors import UserError
from harmony_lit.experiment.compose import Experiment
from harmony_lit.experiment.run import fit
from harmony_lit.experiment.run_folder import RunFolder
from harmony_lit.experiment.stage import StartFrom
from harmony_lit.experiment.weights import export_weights, own_piece, published_piece, read_start
from harmony_lit.pretrained import load_pieces, open_weights
from tests.harmony_lit.builders import make_model
from tests.harmony_lit.pretrained import wans


def model() -> nn.Sequential:
    return nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))


class Stage(nn.Module):
    """What a stage trains, with the names that a LightningModule of ours has."""

    def __init__(self) -> None:
        super().__init__()
        self.network = make_model()


def test_ema_and_raw_weights_are_told_apart(tmp_path: Path) -> None:
    averaged, raw = model().state_dict(), model().state_dict()
    torch.save({"state_dict": averaged, "current_model_state": raw}, tmp_path / "last.ckpt")
    for which, expected in (("ema", averaged), ("raw", raw)):
        assert torch.equal(own_piece(tmp_path / "last.ckpt", which).source.read("0.weight"), expected["0.weight"])
    export_weights(tmp_path / "last.ckpt", tmp_path / "weights.safetensors")
    assert torch.equal(own_piece(tmp_path / "weights.safetensors").source.read("0.weight"), averaged["0.weight"])


@pytest.mark.parametrize("name", ["last.ckpt", "weights.safetensors"])
def test_a_damaged_file_is_one_sentence(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"damaged")
    with pytest.raises(UserError, match="not a readable") as caught:
        own_piece(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_a_checkpoint_cannot_run_code(tmp_path: Path) -> None:
    torch.save({"state_dict": {}, "callbacks": Path("x")}, tmp_path / "last.ckpt")
    with pytest.raises(UserError, match="not a readable checkpoint"):
        own_piece(tmp_path / "last.ckpt")


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """Published weights of a video tower as large as the builders' model has it."""
    torch.manual_seed(5)
    states = {name: torch.randn_like(value) for name, value in Stage().network.video.state_dict().items()}
    safetensors.torch.save_file(states, tmp_path / "wan.safetensors")
    return tmp_path / "wan.safetensors"


def test_a_stage_starts_from_published_weights_and_the_rest_afresh(tmp_path: Path, video: Path) -> None:
    start = StartFrom.of({"pretrained": [{"path": str(video)}], "may_be_missing": ["network.[!v]*"]})
    stage = Stage()
    audio = stage.network.audio.head.head.weight.clone()
    fresh = load_pieces(stage, read_start(start, RunFolder(tmp_path)), start.may_be_missing)
    assert torch.equal(stage.network.video.head.head.weight, safetensors.torch.load_file(video)["head.head.weight"])
    assert torch.equal(stage.network.audio.head.head.weight, audio)
    assert fresh == [name for name in stage.state_dict() if not name.startswith("network.video.")]
    with pytest.raises(UserError, match=r"missing \(network.audio"):
        load_pieces(stage, read_start(start, RunFolder(tmp_path)), ["network.interaction*"])


def test_published_weights_lie_over_those_of_the_stage_before(tmp_path: Path, video: Path) -> None:
    before = Stage()
    folder = RunFolder(tmp_path).stage("audio")
    folder.path.mkdir(parents=True)
    safetensors.torch.save_file(before.state_dict(), folder.weights)
    start = StartFrom.of({"stage": "audio", "pretrained": [{"path": str(video), "part": "network.video"}]})
    stage = Stage()
    load_pieces(stage, read_start(start, RunFolder(tmp_path)))
    assert torch.equal(stage.network.video.head.head.weight, safetensors.torch.load_file(video)["head.head.weight"])
    assert wans.same(stage.network.audio, before.network.audio)


@pytest.mark.parametrize(
    ("part", "said"), [("network.audio", "fills network.video"), ("network.video.nothing", "has nothing for")]
)
def test_a_part_that_the_file_does_not_hold_is_refused(video: Path, part: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        published_piece(open_weights(video), part)


def test_weights_of_a_later_stage_are_opened_before_the_first_one_trains(tmp_path: Path) -> None:
    stages = {"audio": {}, "joint": {"start_from": {"pretrained": [{"path": str(tmp_path / "gone.safetensors")}]}}}
    with pytest.raises(UserError, match=r"^stages.joint.start_from.pretrained: there are no weights at .*gone"):
        fit(Experiment({"run_dir": str(tmp_path / "run"), "stages": stages}))
    assert list(tmp_path.iterdir()) == []
