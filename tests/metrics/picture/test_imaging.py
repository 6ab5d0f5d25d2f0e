import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

from harmony_lit.errors import UserError
from metrics.bench.cases import BenchCase
from metrics.networks import Runtime
from metrics.picture.imaging import ImagingQuality, musiq_pixels

CASE = BenchCase("k", "ambient")


@pytest.mark.parametrize(
    ("size", "expected"), [((480, 832), (295, 512)), ((768, 480), (512, 320)), ((180, 320), (180, 320))]
)
def test_only_frames_with_a_long_side_above_512_are_made_smaller(size, expected):
    frames = torch.full((1, 3, *size), 51, dtype=torch.uint8)
    pixels = musiq_pixels(frames)
    assert pixels.shape == (1, 3, *expected)
    assert torch.allclose(pixels, torch.tensor(0.2))


def test_a_pixel_is_interpolated_from_its_four_neighbours():
    frames = torch.randint(0, 256, (1, 3, 1024, 512), generator=torch.Generator().manual_seed(0)).byte()
    expected = frames[0, 2, 20:22, 8:10].float().mean() / 255
    assert musiq_pixels(frames)[0, 2, 10, 4] == pytest.approx(float(expected), abs=1e-5)


def test_without_pyiqa_it_is_not_run(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyiqa", None)
    monkeypatch.setattr("metrics.networks.find_spec", lambda name: None)
    assert "pip install pyiqa" in ImagingQuality().missing()


class StandIn(torch.nn.Module):
    """Rates a picture by its mean, out of 100, and checks what it gets as pyiqa does."""

    def forward(self, picture):
        assert picture.ndim == 4 and picture.min() >= 0 and picture.max() <= 1
        return 100 * picture.mean().reshape(1, 1)


def stand_in(monkeypatch, asked):
    package = ModuleType("pyiqa")

    def create_metric(name, **settings):
        asked.update(settings, name=name)
        if not Path(settings["pretrained_model_path"]).read_bytes():
            raise RuntimeError("Error(s) in loading state_dict for MUSIQ:\n\tMissing key(s)")
        return StandIn()

    package.create_metric = create_metric
    monkeypatch.setitem(sys.modules, "pyiqa", package)
    monkeypatch.setattr("metrics.networks.find_spec", lambda name: name)


def test_iq_runs_end_to_end_with_a_stand_in_for_pyiqa(monkeypatch, tmp_path, pan):
    asked = {}
    stand_in(monkeypatch, asked)
    assert "musiq_spaq" in ImagingQuality().missing()
    weights = tmp_path / "musiq_spaq_ckpt-358bb6af.pth"
    weights.write_bytes(b"weights")
    metric = ImagingQuality(str(weights), runtime=Runtime("cpu"), stride=2)
    assert metric.missing() is None
    clip = pan([0, 10, 20])
    expected = clip.video[[0, 2]].float().mean() / 255
    assert metric.measure(clip, CASE)["iq"] == pytest.approx(float(expected), rel=1e-5)
    assert (asked["name"], asked["pretrained_model_path"]) == ("musiq-spaq", str(weights))


def test_weights_that_do_not_fit_are_told_in_one_sentence(monkeypatch, tmp_path, pan):
    stand_in(monkeypatch, {})
    (tmp_path / "other.pth").write_bytes(b"")
    with pytest.raises(UserError, match="other.pth does not fit pyiqa's MUSIQ"):
        ImagingQuality(str(tmp_path / "other.pth"), runtime=Runtime("cpu")).measure(pan([0, 1]), CASE)


def test_a_pyiqa_that_does_not_import_is_told_not_raised(monkeypatch, tmp_path):
    (tmp_path / "pyiqa").mkdir()
    (tmp_path / "pyiqa/__init__.py").write_text("raise RuntimeError('operator torchvision::nms does not exist')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "pyiqa", raising=False)
    weights = tmp_path / "musiq.pth"
    weights.write_bytes(b"")
    assert "torchvision::nms" in ImagingQuality(str(weights)).missing()
