"""The published network to its last name and number; small ones of the same class."""

import copy
import json
import zlib
from pathlib import Path

import pytest
import torch

from harmony_lit.codecs.files import save_weights
from harmony_lit.errors import UserError
from metrics.networks import Runtime
from metrics.sync.checkpoint import load_syncnet, locate
from metrics.sync.network import SyncNet

SHARED = Path(__file__).parents[4] / "shared"
golden = pytest.mark.skipif(not SHARED.is_dir(), reason="the golden values of ../shared are not here")


def fill_by_name(network: torch.nn.Module) -> None:
    """Values that depend on names and shapes alone, as the golden values' README says."""
    state = network.state_dict()
    for key, tensor in state.items():
        generator = torch.Generator().manual_seed(zlib.crc32(key.encode()))
        if not tensor.is_floating_point():
            tensor.zero_()
        elif key.endswith("running_var"):
            tensor.copy_(1 + 0.1 * torch.rand(tensor.shape, generator=generator))
        elif tensor.dim() == 1 and key.endswith("weight"):
            tensor.copy_(1 + 0.02 * torch.randn(tensor.shape, generator=generator))
        else:
            tensor.copy_(0.02 * torch.randn(tensor.shape, generator=generator))


def same_features(network: SyncNet, expected: SyncNet, rtol: float = 1e-4) -> None:
    generator = torch.Generator().manual_seed(0)
    video = torch.rand(1, 3, 6, network.size, network.size, generator=generator) * 255
    cepstra = torch.randn(1, 13, 24, generator=generator) * 10
    expected.eval()
    with torch.no_grad():
        for found, wanted in (
            (network.lip_features(video), expected.lip_features(video)),
            (network.audio_features(cepstra), expected.audio_features(cepstra)),
        ):
            torch.testing.assert_close(found, wanted, rtol=rtol, atol=rtol * wanted.abs().max().item())


@golden
def test_features_of_the_published_network_are_those_of_the_reference() -> None:
    expected = json.loads((SHARED / "golden" / "golden.json").read_text())["syncnet"]
    network = SyncNet().eval()
    fill_by_name(network)
    video = torch.rand(2, 3, 5, 224, 224, generator=torch.Generator().manual_seed(1)) * 255
    cepstra = torch.randn(2, 1, 13, 20, generator=torch.Generator().manual_seed(2)) * 10
    with torch.no_grad():
        found = {"lip": network.lip_features(video), "aud": network.audio_features(cepstra[:, 0])}
    for name, features in found.items():
        assert features.shape == (2, 1, 1024)
        assert features[0, 0, :8].tolist() == pytest.approx(expected[name]["first8"], rel=1e-3, abs=1e-5)
        assert features.sum().item() == pytest.approx(expected[name]["sum"], rel=1e-3)
        assert features.abs().sum().item() == pytest.approx(expected[name]["abs"], rel=1e-3)


@golden
def test_names_and_shapes_are_those_of_the_published_file() -> None:
    lines = (SHARED / "golden" / "syncnet_keys.txt").read_text().split("\n")
    network = SyncNet()
    assert [f"{key} {tuple(value.shape)}" for key, value in network.state_dict().items()] == [x for x in lines if x]


def test_the_published_network_has_13_631_616_parameters() -> None:
    with torch.device("meta"):
        assert sum(parameter.numel() for parameter in SyncNet().parameters()) == 13_631_616


def test_running_along_a_clip_gives_what_windows_cut_out_of_it_give(tiny: SyncNet) -> None:
    tiny.eval()
    video = torch.rand(2, 3, 9, 51, 51) * 255
    cepstra = torch.randn(2, 13, 36) * 10
    with torch.no_grad():
        lips, sounds = tiny.lip_features(video), tiny.audio_features(cepstra)
        assert lips.shape == sounds.shape == (2, 5, 8)
        for n in range(5):
            torch.testing.assert_close(lips[:, n : n + 1], tiny.lip_features(video[:, :, n : n + 5]))
            torch.testing.assert_close(sounds[:, n : n + 1], tiny.audio_features(cepstra[:, :, 4 * n : 4 * n + 20]))


@pytest.mark.parametrize("size", [51, 64, 96, 112, 130, 224])
def test_pictures_of_any_size_end_in_one_feature(size: int) -> None:
    network = SyncNet(size, [8] * 6, [8] * 6, 4).eval()
    assert network.lip_features(torch.zeros(1, 3, 5, size, size)).shape == (1, 1, 4)


def test_folding_changes_no_feature(tiny: SyncNet) -> None:
    fill_by_name(tiny)
    folded = copy.deepcopy(tiny.eval())
    folded.fold()
    assert not any(isinstance(layer, torch.nn.BatchNorm2d | torch.nn.BatchNorm3d) for layer in folded.modules())
    same_features(folded, tiny)


def test_what_cannot_be_built_is_refused() -> None:
    with pytest.raises(UserError, match="at least 51 pixels"):
        SyncNet(50)
    with pytest.raises(UserError, match="six convolutions, not of 5"):
        SyncNet(audio_widths=[8] * 5)


def test_the_published_file_loads_strictly(tmp_path: Path) -> None:
    network = SyncNet()
    path = tmp_path / "syncnet_v2.model"
    torch.save(network.state_dict(), path, _use_new_zipfile_serialization=False)  # as old as the published one
    loaded = load_syncnet(str(path), Runtime("cpu"))
    assert loaded.size == 224
    assert not loaded.training
    same_features(loaded, network)
    state = network.state_dict()
    del state["netfclip.3.bias"]
    torch.save(state, path)
    with pytest.raises(UserError, match=r"1 missing \(netfclip\.3\.bias\)"):
        load_syncnet(str(path), Runtime("cpu"))


def test_an_exported_file_says_what_network_it_is(tmp_path: Path, tiny: SyncNet) -> None:
    path = tmp_path / "mine.safetensors"
    save_weights(path, tiny, tiny.settings)
    loaded = load_syncnet(str(path), Runtime("cpu"))
    assert loaded.settings == tiny.settings
    same_features(loaded, tiny, rtol=1e-2)
    save_weights(path, tiny, {"size": 20})
    with pytest.raises(UserError, match="its settings are"):
        load_syncnet(str(path), Runtime("cpu"))


def test_a_bare_name_is_a_packaged_file_and_anything_else_a_path() -> None:
    assert locate(None) is None
    assert Path(str(locate("world"))).is_file()
    assert locate("weights/syncnet_v2.model") == "weights/syncnet_v2.model"
    assert locate("mine.safetensors") == "mine.safetensors"
