"""``harmony weights`` as it is typed, on weights of the quickstart's own video tower."""

import shutil
from pathlib import Path

import pytest
import safetensors.torch
import torch

from harmony_lit.cli.main import main
from harmony_lit.experiment.compose import compose
from harmony_lit.experiment.verify import build_on_meta
from harmony_lit.pretrained import open_weights
from harmony_lit.pretrained.wan import from_diffusers, to_diffusers

State = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def shapes() -> State:
    """Our video tower's tensors without values."""
    return dict(build_on_meta(compose("quickstart")).network.video.state_dict())


@pytest.fixture
def state(shapes: State) -> State:
    """Our video tower's tensors, random."""
    return {name: torch.randn(value.shape).bfloat16() for name, value in shapes.items()}


@pytest.fixture
def wan(tmp_path: Path, state: State) -> Path:
    path = tmp_path / "wan.safetensors"
    safetensors.torch.save_file({f"model.diffusion_model.{name}": value for name, value in state.items()}, path)
    return path


def told(capsys: pytest.CaptureFixture[str]) -> str:
    """What a refused command said: one line, and nothing on standard output."""
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    return line


def test_inspect_says_what_a_file_is_and_where_it_goes(wan: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["weights", "inspect", str(wan), "--names"]) == 0
    said = capsys.readouterr().out
    for fact in (
        "wan-original",
        "Wan-AI",
        "Apache-2.0",
        "network.video",
        "123",
        "1.10 M",
        "bfloat16 (123)",
        "2.20 MB in 1 file",
    ):
        assert fact in said
    assert "model.diffusion_model.blocks.*.ffn.0" in said
    assert "-> network.video.blocks.*.ffn.0" in said


def test_inspect_holds_a_file_against_an_experiment(
    wan: Path, state: State, capsys: pytest.CaptureFixture[str]
) -> None:
    changed = {**state, "stray": torch.zeros(1), "head.modulation": torch.zeros(1, 2, 7)}
    del changed["head.head.bias"]
    safetensors.torch.save_file(changed, wan)
    assert main(["weights", "inspect", str(wan), "--experiment", "quickstart"]) == 0
    said = capsys.readouterr().out
    assert "1 missing: network.video.head.head.bias" in said
    assert "1 left over: stray" in said
    assert "1 of another shape: network.video.head.modulation (1, 2, 7) instead of (1, 2, 128)" in said
    assert "network.audio" in said


def test_verify_ends_with_0_if_the_part_is_filled(wan: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["weights", "verify", str(wan), "--experiment", "quickstart"]) == 0
    assert "123 tensors fill network.video" in capsys.readouterr().out


def test_verify_ends_with_2_and_the_difference(wan: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wider = "network.init_args.video.init_args.ffn_width=512"
    assert main(["weights", "verify", str(wan), "--experiment", "quickstart", wider]) == 2
    line = told(capsys)
    assert "12 of another shape" in line
    assert "network.video.blocks.0.ffn.0.weight (384, 128) instead of (512, 128)" in line


def test_verify_asks_what_the_stage_will_ask(
    wan: Path, state: State, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    safetensors.torch.save_file({name: value for name, value in state.items() if not name.startswith("head.")}, wan)
    mine = tmp_path / "mine.yaml"
    mine.write_text(
        "extends: quickstart.yaml\n"
        "stages:\n  joint:\n    start_from:\n"
        f"      pretrained:\n      - {{path: {wan}, part: network.video.blocks}}\n"
        '      may_be_missing: ["network.video.blocks.0.*"]\n'
    )
    assert main(["weights", "verify", str(wan), "--experiment", str(mine)]) == 2
    assert "no head.modulation" in told(capsys)
    del state["blocks.0.norm3.bias"]
    safetensors.torch.save_file(state, wan)
    assert main(["weights", "verify", str(wan), "--experiment", str(mine)]) == 0
    said = capsys.readouterr().out
    assert "fill network.video.blocks\n" in said
    assert "1 begin afresh, as the stage allows: network.video.blocks.0.norm3.bias" in said
    assert main(["weights", "verify", str(wan), "--experiment", str(mine), "--stage", "audio"]) == 2
    assert "1 missing (network.video.blocks.0.norm3.bias)" in told(capsys)


def test_convert_writes_shards_that_hold_the_same_bits_and_go_back(
    wan: Path, state: State, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, back = tmp_path / "diffusers", tmp_path / "back.safetensors"
    convert = ["weights", "convert"]
    assert main([*convert, str(wan), str(out), "--to", "wan-diffusers", "--max-shard-size", "500KB"]) == 0
    files = sorted(path.name for path in out.iterdir())
    assert files[-1] == "diffusion_pytorch_model.safetensors.index.json"
    assert files[0] == f"diffusion_pytorch_model-00001-of-{len(files) - 1:05}.safetensors"
    assert all(path.stat().st_size < 520_000 for path in out.iterdir())
    published = open_weights(out)
    assert published.metadata["format"] == "pt"
    assert {from_diffusers(name) for name in published.shapes} == state.keys()
    assert all(torch.equal(published.read(to_diffusers(name)), value) for name, value in state.items())
    assert main([*convert, str(out), str(back), "--to", "wan-original"]) == 0
    again = safetensors.torch.load_file(back)
    assert again.keys() == state.keys()
    assert all(torch.equal(again[name], value) for name, value in state.items())


def test_the_video_tower_of_a_stage_goes_to_diffusers(
    state: State, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stage = {f"network.video.{name}": value for name, value in state.items()}
    path, out = tmp_path / "weights.safetensors", tmp_path / "video"
    safetensors.torch.save_file({**stage, "network.audio.head.modulation": torch.zeros(1, 2, 3)}, path)
    assert main(["weights", "convert", str(path), str(out), "--to", "wan-diffusers"]) == 0
    assert "network.audio.head.modulation" in capsys.readouterr().out
    assert [file.name for file in out.iterdir()] == ["diffusion_pytorch_model.safetensors"]
    assert open_weights(out).shapes.keys() == {to_diffusers(name) for name in state}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["inspect", "none.safetensors"], "there are no weights at none.safetensors"),
        (["inspect", "CUT"], "cut short"),
        (["inspect", "harmony_lit/codecs/weights/world_video.safetensors"], "in no layout that is known"),
        (["inspect", "WAN", "seed=1"], "name it with --experiment"),
        (["inspect", "WAN", "--part", "network.audio"], "fills network.video, not network.audio"),
        (["verify", "WAN", "--experiment", "quickstrt"], "Did you mean 'quickstart'?"),
        (["verify", "WAN", "--experiment", "quickstart", "--stage", "jont"], "Did you mean 'joint'?"),
        (["convert", "WAN", "OUT", "--to", "wan-difusers"], "Did you mean 'wan-diffusers'?"),
        (["convert", "WAN", "OUT", "--to", "harmony"], "fills network.video) does not make harmony (a whole model)"),
        (["convert", "WAN", "WAN", "--to", "wan-diffusers"], "is there already"),
        (["convert", "WAN", "OUT", "--to", "wan-diffusers", "--max-shard-size", "5"], "a size such as 5GB"),
        (["convert", "WAN", "OUT.safetensors", "--to", "wan-diffusers", "--max-shard-size", "1MB"], "name a folder"),
    ],
)
def test_a_mistake_is_one_sentence_exit_code_2_and_nothing_written(
    arguments: list[str], said: str, wan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cut = tmp_path / "cut.safetensors"
    shutil.copy(wan, cut)
    cut.write_bytes(cut.read_bytes()[:-10])
    before = sorted(tmp_path.iterdir())
    named = {"WAN": str(wan), "CUT": str(cut), "OUT": str(tmp_path / "out")}
    named["OUT.safetensors"] = f"{named['OUT']}.safetensors"
    assert main(["weights", *(named.get(word, word) for word in arguments)]) == 2
    assert said in told(capsys)
    assert sorted(tmp_path.iterdir()) == before
