import math
import pickle
from pathlib import Path

import pytest
import torch
from torch import nn

from data.media import read_clip
from harmony_lit.containers import Clip
from metrics.bench.cases import BenchCase
from metrics.networks import Runtime
from metrics.synchformer.metric import DeSync, compared, offsets_s, windows
from metrics.synchformer.network import OFFSETS_S

CLIPS = Path(__file__).parents[4] / "shared" / "assets" / "clips"
CASE = BenchCase("k", "ambient")


def noise_clip(seconds=0.64):
    generator = torch.Generator().manual_seed(0)
    frames = torch.randint(0, 256, (round(seconds * 25), 3, 48, 64), generator=generator, dtype=torch.uint8)
    return Clip(frames, 0.1 * torch.randn(round(seconds * 16_000), generator=generator), 25.0, 16_000)


class BrightAndLoud(nn.Module):
    """Tells the first class from the mean brightness of a window, and counts what it was shown."""

    def __init__(self):
        super().__init__()
        self.vproj = nn.Linear(1, 1)
        self.seen = []

    def see(self, frames):
        self.seen.append(len(frames))
        return frames.mean(dim=(1, 2, 3, 4))[:, None, None].expand(-1, 8, 2)

    def hear(self, mels):
        return torch.zeros(len(mels), 6, 2)

    def compare(self, seen, heard):
        assert seen.shape[1:] == (14, 8, 2) and heard.shape[1:] == (14, 6, 2)
        return -(torch.linspace(-1, 1, 21)[None] - seen.mean(dim=(1, 2, 3))[:, None]).abs()


def test_fewer_than_fourteen_segments_are_repeated_from_the_start():
    features = torch.arange(5.0)[:, None, None]
    found = windows(features)[..., 0, 0].tolist()
    assert found == [[0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 1, 2, 3]] * 2


@pytest.mark.parametrize("segments", [14, 20, 28, 40])
def test_the_first_and_the_last_fourteen_segments_are_compared(segments):
    features = torch.arange(float(segments))[:, None, None]
    first, last = windows(compared(features))[..., 0, 0].tolist()
    assert first == list(range(14))
    assert last == list(range(segments - 14, segments))
    assert len(compared(features)) <= 28


def test_the_score_is_the_mean_of_both_offsets_without_sign(monkeypatch):
    black_then_white = torch.cat([torch.zeros(124, 3, 32, 32), torch.full((124, 3, 32, 32), 255.0)]).to(torch.uint8)
    clip = Clip(black_then_white, torch.zeros(248 * 640), 25.0, 16_000)
    network = BrightAndLoud()
    assert offsets_s(network, clip, segments_at_once=8) == (-2.0, 2.0)
    assert sum(network.seen) == 28  # of 30
    monkeypatch.setattr("metrics.synchformer.metric.shared", lambda *_: network)
    metric = DeSync("there")
    metric.update(clip, CASE)
    assert float(metric.compute()["desync"]) == 2.0


def test_a_clip_shorter_than_a_segment_is_excluded_and_counted(monkeypatch):
    monkeypatch.setattr("metrics.synchformer.metric.shared", lambda *_: BrightAndLoud())
    metric = DeSync("there")
    metric.update(noise_clip(0.6), CASE)
    assert math.isnan(metric.compute()["desync"])
    assert int(metric.excluded()["desync"]) == 1


def test_without_weights_the_metric_says_what_it_needs(tmp_path):
    assert "synchformer_state_dict.pth" in DeSync().missing()
    assert str(tmp_path / "absent.pth") in DeSync(str(tmp_path / "absent.pth")).missing()


def test_desync_runs_end_to_end_with_randomly_initialised_synchformer(random_weights):
    metric = pickle.loads(pickle.dumps(DeSync(random_weights, runtime=Runtime("cpu"))))
    assert metric.missing() is None
    assert metric.measures[0].checkpoint.startswith("synchformer_state_dict.pth sha256:")
    metric.update(noise_clip(), CASE)
    value = float(metric.compute()["desync"])
    assert any(value == pytest.approx(abs(offset)) for offset in OFFSETS_S)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "precision"), [("bento.mp4", "fp32"), ("two_people_talking.mp4", "bf16")])
def test_desync_runs_on_real_clips_with_randomly_initialised_synchformer(random_weights, name, precision):
    path = CLIPS / name
    if not path.is_file():
        pytest.skip(f"needs {path}")
    metric = DeSync(random_weights, runtime=Runtime("cpu", precision))
    assert 0 <= metric.measure(read_clip(path), CASE)["desync"] <= 2
