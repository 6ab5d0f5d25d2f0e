"""A trained model by itself: the same clip from it as from its run, and the video tower as diffusers has it."""

from pathlib import Path

import pytest
import safetensors.torch
import torch
from diffusers import WanTransformer3DModel

from harmony_lit.cli.main import main
from harmony_lit.containers import TextEmbeds, VideoLatents
from harmony_lit.errors import UserError
from harmony_lit.experiment.compose import compose
from harmony_lit.experiment.export import export
from harmony_lit.experiment.load import load_run
from harmony_lit.experiment.nodes import build
from harmony_lit.experiment.run_folder import RunFolder
from harmony_lit.pretrained import layout_named


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run of the quickstart, with a smaller model and random weights."""
    folder = tmp_path_factory.mktemp("run")
    small = [f"network.init_args.{key}" for key in ("depth=2", "video.init_args.width=64", "audio.init_args.width=64")]
    experiment = compose("quickstart", [f"run_dir={folder}", *small])
    run = RunFolder(folder)
    run.prepare(experiment)
    torch.manual_seed(0)
    module = build(experiment.stages["joint"]["model"], "stages.joint.model")
    state = {name: value + 0.02 * torch.randn_like(value) for name, value in module.state_dict().items()}
    run.stage("joint").path.mkdir(parents=True)
    safetensors.torch.save_file(state, run.stage("joint").weights)
    return run


def test_what_is_exported_samples_the_same_clip_to_the_last_bit(run: RunFolder, tmp_path: Path) -> None:
    assert main(["weights", "export", str(run.path), str(tmp_path / "model")]) == 0
    clips = []
    for source, more in ((run.path, []), (tmp_path / "model", []), (tmp_path / "model", ["--offload"])):
        clip = tmp_path / f"{len(clips)}.mp4"
        how = ["--prompt", "a ball", "--frames", "5", "--steps", "1", "--guidance", "none"]
        assert main(["sample", str(source), *how, *more, "-o", str(clip)]) == 0
        clips.append(clip.read_bytes())
    assert clips[0] == clips[1] == clips[2]
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == ["config.yaml", "weights.safetensors"]


def test_diffusers_loads_the_video_tower_and_gives_its_numbers(run: RunFolder, tmp_path: Path) -> None:
    export(run.path, tmp_path / "video", layout_named("wan-diffusers"))
    theirs = WanTransformer3DModel.from_pretrained(tmp_path / "video").eval()
    ours = load_run(run.path).module.network.video
    frames, rows, columns = 3, 4, 6
    x = torch.randn(2, ours.dims.channels, frames, rows, columns)
    text, t = torch.randn(2, 7, ours.dims.caption_dim), torch.tensor([[0.0, 0.3, 0.3], [0.9, 0.9, 0.9]])
    per_token = (t * 1000).repeat_interleave(rows * columns // 4, dim=1)
    with torch.no_grad():
        expected = theirs(x, per_token, text).sample
        mask = torch.ones(2, 7, dtype=torch.bool)
        tokens, state = ours.embed(VideoLatents(x, torch.tensor([frames, frames])), t, TextEmbeds(text, mask))
        for block in ours.layers:
            tokens = block.feed_forward(block.cross_attend(block.self_attend(tokens, state), state), state)
        torch.testing.assert_close(ours.unembed(tokens, state), expected, rtol=1e-4, atol=1e-4)


def test_an_export_lies_over_nothing(run: RunFolder, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is there already"):
        export(run.path, tmp_path)
    with pytest.raises(UserError, match="no stage 'joit'. Did you mean 'joint'"):
        export(run.path, tmp_path / "model", stage="joit")
    assert not (tmp_path / "model").exists()
