"""Weights files say clearly what does not fit."""

from __future__ import annotations

import pytest
import safetensors.torch
import torch
from torch import nn

from harmony_lit.codecs.conv_video import ConvVideoCodec
from harmony_lit.codecs.files import fingerprint, load_weights, resolve_weights, save_weights
from harmony_lit.codecs.spectral_audio import SpectralAudioCodec


def make_network(width: int = 3, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(2, width), nn.BatchNorm1d(width, affine=False))


def test_weights_and_statistics_come_back(tmp_path):
    network, other = make_network(seed=0), make_network(seed=1)
    network(torch.randn(8, 2))  # moves the statistics
    save_weights(tmp_path / "a.safetensors", network, {"width": 3})
    load_weights(tmp_path / "a.safetensors", other, {"width": 3})
    torch.testing.assert_close(other[0].weight, network[0].weight, atol=1e-3, rtol=1e-3)
    assert torch.equal(other[1].running_mean, network[1].running_mean)


def test_file_of_other_settings_says_which(tmp_path):
    save_weights(tmp_path / "a.safetensors", make_network(), {"width": 3})
    with pytest.raises(ValueError, match="width is 3 in the file but 4 here"):
        load_weights(tmp_path / "a.safetensors", make_network(4), {"width": 4})


def test_missing_unknown_and_misshapen_tensors_are_named(tmp_path):
    path = tmp_path / "a.safetensors"
    network = make_network()
    tensors = {"0.weight": torch.zeros(3, 5), "1.running_mean": torch.zeros(3), "other": torch.zeros(1)}
    safetensors.torch.save_file(tensors, path, metadata={"settings": "{}"})
    before = network[0].weight.clone()
    with pytest.raises(ValueError) as error:
        load_weights(path, network, {})
    assert "2 missing (0.bias, 1.running_var)" in str(error.value)
    assert "1 unexpected (other)" in str(error.value)
    assert "1 of another shape (0.weight (3, 5) instead of (3, 2))" in str(error.value)
    assert torch.equal(network[0].weight, before)


def test_file_of_another_kind_is_refused(tmp_path):
    (tmp_path / "a.safetensors").write_bytes(b"not tensors at all")
    with pytest.raises(ValueError, match="not a readable weights file"):
        load_weights(tmp_path / "a.safetensors", make_network(), {})


def test_absent_file_is_one_clear_sentence():
    with pytest.raises(ValueError, match=r"no video codec weights at .*nowhere_video\.safetensors"):
        resolve_weights("nowhere", "video")


@pytest.mark.parametrize("kind", ["video", "audio"])
def test_the_worlds_weights_are_packaged_and_small(kind):
    assert resolve_weights("world", kind).stat().st_size < 4e6


def test_fingerprint_sees_every_part():
    state = {"a": torch.zeros(2), "b": torch.ones(2)}
    prints = {
        fingerprint("X", {"n": 1}, state),
        fingerprint("Y", {"n": 1}, state),
        fingerprint("X", {"n": 2}, state),
        fingerprint("X", {"n": 1}, {**state, "b": torch.tensor([1.0, 1.001])}),
    }
    assert len(prints) == 4


def test_default_codecs_load_the_worlds_weights():
    assert ConvVideoCodec().fingerprint != ConvVideoCodec(weights=None).fingerprint
    assert SpectralAudioCodec().fingerprint != SpectralAudioCodec(weights=None).fingerprint
