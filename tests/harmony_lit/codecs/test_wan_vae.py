"""Wan2.2's autoencoder as a codec: numbers of diffusers' class, statistics, lengths, timing, tiles, memory."""

from __future__ import annotations

import weakref

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from harmony_lit.codecs.base import VideoCodec
from harmony_lit.codecs.statistics import LatentStatistics
from harmony_lit.codecs.wan_vae import WAN22_STATISTICS, WanVideoCodec
from harmony_lit.experiment.nodes import build
from harmony_lit.pretrained.wan_vae import restore

STATISTICS = LatentStatistics(mean=[0.1, -0.2, 0.3, 0.0], std=[0.5, 1.0, 2.0, 1.5])


def make_codec(weights: str = "random", **settings) -> WanVideoCodec:
    small = {"channels": 4, "width": 8, "decoder_width": 8, "statistics": STATISTICS}
    return WanVideoCodec(weights, **{**small, **settings})


def make_video(frames: int = 9, batch: int = 1, height: int = 32, width: int = 48) -> torch.Tensor:
    return torch.rand(batch, 3, frames, height, width, generator=torch.Generator().manual_seed(3)) * 2 - 1


@pytest.fixture(scope="module")
def network():
    """Diffusers' class with random weights that no codec draws."""
    torch.manual_seed(5)
    network = make_codec().new_network().eval().requires_grad_(False)
    for name, value in network.named_parameters():
        if name.endswith("gamma"):
            value.normal_(1, 0.2)
    return network


@pytest.fixture(scope="module")
def original(network, tmp_path_factory):
    path = tmp_path_factory.mktemp("wan") / "Wan2.2_VAE.pth"
    torch.save({restore(name): value for name, value in network.state_dict().items()}, path)
    return str(path)


@pytest.fixture(scope="module")
def diffusers_folder(network, tmp_path_factory):
    path = tmp_path_factory.mktemp("wan") / "vae"
    network.save_pretrained(path)
    return str(path)


def test_implements_the_protocol():
    assert isinstance(make_codec(), VideoCodec)


@pytest.mark.parametrize("layout", ["original", "diffusers_folder"])
def test_published_layouts_give_the_numbers_of_diffusers(layout, network, request, capsys):
    codec, video = make_codec(request.getfixturevalue(layout)), make_video(batch=2)
    mean = torch.tensor(STATISTICS.mean).view(1, 4, 1, 1, 1)
    std = torch.tensor(STATISTICS.std).view(1, 4, 1, 1, 1)
    latents = codec.encode(video)
    torch.testing.assert_close(latents, (network.encode(video).latent_dist.mean - mean) / std)
    torch.testing.assert_close(codec.decode(latents), network.decode(latents * std + mean).sample)
    assert "Apache-2.0" in capsys.readouterr().err


def test_published_statistics_are_those_of_diffusers():
    # What the network's own config gives of them is what a pipeline of diffusers would use.
    with torch.device("meta"):
        config = WanVideoCodec("random").new_network().config
    assert (config.latents_mean, config.latents_std) == (WAN22_STATISTICS.mean, WAN22_STATISTICS.std)
    assert len(config.latents_mean) == config.z_dim == 48


@pytest.mark.parametrize(("frames", "latent_frames"), [(1, 1), (5, 2), (13, 4)])
def test_shapes_there_and_back(frames, latent_frames):
    codec = make_codec()
    latents = codec.encode(make_video(frames))
    assert latents.shape == (1, 4, latent_frames, 2, 3)
    video = codec.decode(latents)
    assert video.shape == (1, 3, frames, 32, 48)
    assert video.dtype == torch.float32 and video.abs().max() <= 1


@pytest.mark.parametrize("video", [make_video(8), make_video(9, height=40)])
def test_frames_or_sides_that_do_not_fit_are_refused(video):
    with pytest.raises(ValueError, match=r"1 \+ 4k frames"):
        make_codec().encode(video)


@pytest.mark.parametrize("frame", [0, 1, 4, 5, 7])
def test_a_flash_is_in_the_latent_that_holds_its_frame_and_in_none_before(frame):
    codec, video = make_codec(), make_video()
    lit = video.clone()
    lit[:, :, frame] = 1
    change = (codec.encode(lit) - codec.encode(video)).abs().amax(dim=(0, 1, 3, 4))
    first = 0 if frame == 0 else 1 + (frame - 1) // 4
    assert not change[:first].any()
    assert change[first] > 0


@pytest.mark.parametrize("latent", [0, 1, 2])
def test_a_latent_begins_to_show_at_its_first_pixel_frame(latent):
    codec = make_codec()
    latents = codec.encode(make_video())
    lit = latents.clone()
    lit[:, :, latent] += 3
    change = (codec.decode(lit) - codec.decode(latents)).abs().amax(dim=(0, 1, 3, 4))
    first = 0 if latent == 0 else 1 + 4 * (latent - 1)
    assert not change[:first].any()
    assert change[first] > 0


class Lossless(nn.Module):
    """Stands in for the autoencoder: every latent holds the mean brightness of each of its frames, patch by patch."""

    device, dtype = torch.device("cpu"), torch.float32

    def disable_tiling(self) -> None:
        pass

    def encode(self, video):
        first = video[:, :, :1].expand(-1, -1, 4, -1, -1)
        patches = torch.cat([first, video[:, :, 1:]], dim=2).mean(1).unflatten(3, (-1, 16)).unflatten(2, (-1, 16))
        latents = patches.mean((3, 5)).unflatten(1, (-1, 4)).movedim(2, 1)
        return _Output(latent_dist=_Output(mode=lambda: latents))

    def decode(self, latents):
        frames = latents.movedim(1, 2).flatten(1, 2)[:, 3:]
        return _Output(
            sample=frames.repeat_interleave(16, 2).repeat_interleave(16, 3)[:, None].expand(-1, 3, -1, -1, -1)
        )


class _Output:
    def __init__(self, **fields) -> None:
        self.__dict__.update(fields)


@pytest.mark.parametrize("frame", [0, 1, 30, 107, 108])
def test_a_flash_comes_back_in_its_own_frame(frame):
    codec = make_codec()
    codec.__dict__["_network"] = Lossless()
    video = torch.full((1, 3, 109, 32, 32), -0.5)
    video[:, :, frame] = 1
    again = codec.decode(codec.encode(video))
    torch.testing.assert_close(again, video)


def centre_taps(network: nn.Module) -> None:
    """Leaves convolutions the middle of their kernels and attention nothing: every place is then decoded by itself."""
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d | nn.Conv3d) and module.kernel_size[-1] > 1:
            middle = module.weight[..., 1, 1].clone()
            module.weight.zero_()[..., 1, 1] = middle
        if name.endswith("attentions.0.proj"):
            module.weight.zero_()


@pytest.mark.parametrize("size", [(64, 96), (112, 80)])
def test_tiles_make_up_the_whole_picture(size):
    whole, tiled = make_codec(), make_codec(tile=64)
    for codec in (whole, tiled):
        centre_taps(codec._network)
    video = make_video(5, height=size[0], width=size[1])
    latents = whole.encode(video)
    torch.testing.assert_close(tiled.encode(video), latents)
    torch.testing.assert_close(tiled.decode(latents), whole.decode(latents))


def test_tiles_are_decoded_each_by_itself():
    tiled, latents = make_codec(tile=64), torch.randn(1, 4, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    other = latents.clone()
    other[..., 7, 7] = 5
    before, after = tiled.decode(latents), tiled.decode(other)
    assert torch.equal(before[..., :48, :48], after[..., :48, :48])
    assert not torch.equal(before, after)


def test_tiles_are_encoded_each_by_itself():
    tiled, video = make_codec(tile=64), make_video(1, height=128, width=128)
    other = video.clone()
    other[..., -1, -1] = 5
    before, after = tiled.encode(video), tiled.encode(other)
    assert torch.equal(before[..., :3, :3], after[..., :3, :3])
    assert not torch.equal(before, after)


def test_a_picture_no_larger_than_a_tile_is_not_cut():
    codec, video = make_codec(tile=64), make_video(5, height=48, width=64)
    codec.encode(make_video(1, height=64, width=80))  # which is cut
    latents = make_codec().encode(video)
    assert torch.equal(codec.encode(video), latents)
    assert torch.equal(codec.decode(latents), make_codec().decode(latents))


class LiveBytes(TorchDispatchMode):
    """Counts the bytes of all tensors that were made and are still held."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._sizes: dict[int, int] = {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(out):
            if isinstance(tensor, torch.Tensor) and tensor.untyped_storage()._cdata not in self._sizes:
                storage = tensor.untyped_storage()
                self._sizes[storage._cdata] = storage.nbytes()
                self.now += storage.nbytes()
                self.peak = max(self.peak, self.now)
                weakref.finalize(storage, self._gone, storage._cdata)
        return out

    def _gone(self, key: int) -> None:
        self.now -= self._sizes.pop(key)


def decoding_peak(codec: WanVideoCodec, latent_frames: int, side: int = 1) -> int:
    """Bytes in use at most beyond three times the clip: the longest copy, its predecessor and what is handed out."""
    codec.decode(torch.zeros(1, 4, 1, 1, 1))  # whatever is made once
    with LiveBytes() as live:
        video = codec.decode(torch.zeros(1, 4, latent_frames, side, side))
    return live.peak - 3 * video.nbytes


def test_memory_grows_with_the_area_and_not_with_the_length():
    codec = make_codec(decoder_width=16)
    short = decoding_peak(codec, 3)
    assert decoding_peak(codec, 7) <= 1.05 * short
    assert decoding_peak(codec, 3, side=2) > 3 * short


def test_half_precision_stays_near():
    video = make_video()
    latents = make_codec().encode(video)
    near = make_codec(precision="bf16")
    assert near._network.dtype == torch.bfloat16
    torch.testing.assert_close(near.encode(video), latents, atol=0.05, rtol=0.05)
    assert near.decode(latents).dtype == torch.float32


def test_surrounding_autocast_changes_nothing():
    codec, video = make_codec(), make_video()
    with torch.autocast("cpu", torch.bfloat16):
        under = codec.encode(video)
    assert torch.equal(under, codec.encode(video))


def test_batches_do_not_matter():
    codec, video = make_codec(), make_video(5, batch=3)
    assert torch.equal(codec.encode(video), torch.cat([codec.encode(clip[None]) for clip in video]))


def test_making_a_codec_and_its_fingerprint_builds_no_network(original):
    codec = make_codec(original)
    assert len(codec.fingerprint) == 64
    assert "_network" not in codec.__dict__


def test_fingerprint_tells_settings_and_weights_apart(original, diffusers_folder, tmp_path):
    other = tmp_path / "other.pth"
    state = torch.load(original, weights_only=True)
    state["conv1.bias"][0] += 1
    torch.save(state, other)
    codecs = [
        make_codec(),
        make_codec(original),
        make_codec(str(other)),
        make_codec(original, precision="bf16"),
        make_codec(original, tile=64),
        make_codec(original, statistics=LatentStatistics(mean=[0.0] * 4, std=[1.0] * 4)),
    ]
    assert len({codec.fingerprint for codec in codecs}) == len(codecs)
    assert make_codec(original).fingerprint == make_codec(original, device="cpu", offload=True).fingerprint


def test_yaml_makes_the_codec():
    node = {
        "class_path": "harmony_lit.codecs.wan_vae.WanVideoCodec",
        "init_args": {"weights": "Wan2.2_VAE.pth", "tile": 256},
    }
    assert build(node, "system.video_codec").statistics == WAN22_STATISTICS
    with pytest.raises(ValueError, match="weights"):  # forgotten weights are not random ones
        build({**node, "init_args": {}}, "system.video_codec")


def test_absent_weights_are_named_with_their_publisher():
    with pytest.raises(ValueError, match=r"there is/none\.pth: .*Wan2\.2_VAE\.pth of huggingface\.co/Wan-AI") as error:
        make_codec("there is/none.pth").encode(make_video())
    assert "\n" not in str(error.value)


def test_weights_that_lack_something_are_refused_whole(original, tmp_path):
    state = torch.load(original, weights_only=True)
    del state["decoder.head.2.bias"]
    torch.save(state, tmp_path / "cut.pth")
    with pytest.raises(ValueError, match=r"missing \(decoder\.conv_out\.bias\)"):
        make_codec(str(tmp_path / "cut.pth")).decode(torch.zeros(1, 4, 1, 2, 2))


def test_weights_of_another_size_are_refused(original):
    with pytest.raises(ValueError, match="of another shape"):
        make_codec(original, width=16).encode(make_video())


def test_weights_of_something_else_are_refused(tmp_path):
    vae = {"data_mean": torch.zeros(1, 80, 1), "encoder.conv_in.weight": torch.zeros(8, 80, 3)}
    torch.save({**vae, "decoder.learnable_gain": torch.zeros(())}, tmp_path / "v1-16.pth")
    with pytest.raises(ValueError, match="layout mmaudio-vae, not what is asked for: Wan2.2's video autoencoder"):
        make_codec(str(tmp_path / "v1-16.pth")).encode(make_video())


@pytest.mark.parametrize("settings", [{"tile": 100}, {"channels": 5}])
def test_settings_that_cannot_be_are_refused(settings):
    with pytest.raises(ValueError, match="tile|channels"):
        make_codec(**settings)
