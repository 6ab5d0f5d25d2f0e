"""The video codec: strides, causality, determinism."""

from __future__ import annotations

import pytest
import torch

from harmony_lit.codecs.base import VideoCodec
from harmony_lit.codecs.conv_video import ConvVideoCodec
from harmony_lit.codecs.files import save_weights


def make_codec(**settings) -> ConvVideoCodec:
    return ConvVideoCodec(**{"channels": 4, "width": 16, "weights": None, **settings})


def make_video(frames: int = 9, batch: int = 2, height: int = 32, width: int = 48) -> torch.Tensor:
    return torch.rand(batch, 3, frames, height, width, generator=torch.Generator().manual_seed(3)) * 2 - 1


def test_implements_the_protocol():
    assert isinstance(make_codec(), VideoCodec)


@pytest.mark.parametrize(("frames", "latent_frames"), [(1, 1), (5, 2), (9, 3), (61, 16)])
def test_shapes_there_and_back(frames, latent_frames):
    codec = make_codec()
    latents = codec.encode(make_video(frames, batch=1))
    assert latents.shape == (1, 4, latent_frames, 2, 3)
    video = codec.decode(latents)
    assert video.shape == (1, 3, frames, 32, 48)
    assert video.abs().max() <= 1


@pytest.mark.parametrize("video", [make_video(8), make_video(9, height=40)])
def test_frames_or_sides_that_do_not_fit_are_refused(video):
    with pytest.raises(ValueError, match=r"1 \+ 4k frames"):
        make_codec().encode(video)


def test_first_latent_frame_depends_on_the_first_pixel_frame_alone():
    codec, video = make_codec(), make_video()
    other = video.clone()
    other[:, :, 1:] = 0
    before, after = codec.encode(video), codec.encode(other)
    assert torch.equal(before[:, :, 0], after[:, :, 0])
    assert not torch.equal(before[:, :, 1], after[:, :, 1])


@pytest.mark.parametrize("precision", ["bf16", "fp32"])
def test_image_has_the_latent_of_a_clips_first_frame(precision):
    codec, video = make_codec(precision=precision), make_video()
    torch.testing.assert_close(codec.encode(video[:, :, :1]), codec.encode(video)[:, :, :1])


def test_static_video_has_constant_latents():
    codec = make_codec(precision="fp32")
    latents = codec.encode(make_video(1).expand(-1, -1, 9, -1, -1))
    torch.testing.assert_close(latents, latents[:, :, :1].expand_as(latents))


def test_decoding_is_causal():
    codec = make_codec(precision="fp32")
    with torch.no_grad():  # untrained, what looks back and what it feeds are zero
        generator = torch.Generator().manual_seed(0)
        for weight in codec._network.parameters():
            if not weight.any():
                weight.normal_(std=0.1, generator=generator)
    latents = torch.randn(1, 4, 5, 2, 2, generator=torch.Generator().manual_seed(0))
    other = latents.clone()
    other[:, :, 3:] = 0
    before, after = codec.decode(latents), codec.decode(other)
    torch.testing.assert_close(before[:, :, :9], after[:, :, :9])
    assert not torch.allclose(before[:, :, 9:], after[:, :, 9:])
    other = latents.clone()
    other[:, :, 1] = 0
    assert not torch.allclose(codec.decode(other)[:, :, 9:13], before[:, :, 9:13])  # two latent frames later


def test_latents_are_the_same_twice_and_in_any_batch():
    codec, video = make_codec(), make_video(61, batch=9)
    latents = codec.encode(video)
    assert torch.equal(latents, codec.encode(video))
    assert torch.equal(latents, torch.cat([codec.encode(clip[None]) for clip in video]))


def test_making_a_codec_reads_nothing():
    codec = ConvVideoCodec(weights="there/is/none.safetensors")
    with pytest.raises(ValueError, match=r"none\.safetensors"):
        codec.encode(make_video())


def test_fingerprint_tells_settings_and_weights_apart(tmp_path):
    network = make_codec().new_network()
    with torch.no_grad():
        network.inlet.bias[0] += 1
    save_weights(tmp_path / "other.safetensors", network, make_codec().settings)
    codecs = [
        make_codec(),
        make_codec(channels=8),
        make_codec(precision="fp32"),
        make_codec(weights=str(tmp_path / "other.safetensors")),
    ]
    assert len({codec.fingerprint for codec in codecs}) == len(codecs)
    assert make_codec().fingerprint == make_codec().fingerprint


def test_new_networks_do_not_touch_the_global_generator():
    state = torch.random.get_rng_state()
    make_codec().new_network()
    assert torch.equal(torch.random.get_rng_state(), state)
