"""The system refuses parts that do not fit one another."""

from __future__ import annotations

import pytest
from jsonargparse import ArgumentParser

from harmony_lit.geometry import Geometry
from harmony_lit.system import System


class _Video:
    channels = 4
    fingerprint = "video"

    def __init__(self, stride: tuple[int, int, int] = (4, 16, 16)) -> None:
        self.stride = stride

    def encode(self, video):
        raise NotImplementedError

    def decode(self, latents):
        raise NotImplementedError


class _Audio:
    channels = 4
    fingerprint = "audio"

    def __init__(self, hop: int = 512, sample_rate_hz: int = 16_000) -> None:
        self.hop = hop
        self.sample_rate_hz = sample_rate_hz

    def encode(self, audio):
        raise NotImplementedError

    def decode(self, latents):
        raise NotImplementedError


class _Text:
    dim = 8
    max_tokens = 4
    fingerprint = "text"

    def encode(self, captions):
        raise NotImplementedError

    def release(self):
        raise NotImplementedError


def test_fingerprints_name_each_part():
    system = System(Geometry(), _Video(), _Audio(), _Text())
    assert system.fingerprints() == {"video_codec": "video", "audio_codec": "audio", "text_encoder": "text"}


@pytest.mark.parametrize(
    ("video", "audio", "path"),
    [
        (_Video(stride=(4, 8, 8)), _Audio(), "system.video_codec.stride"),
        (_Video(), _Audio(hop=256), "system.audio_codec.hop"),
        (_Video(), _Audio(sample_rate_hz=44_100), "system.audio_codec.sample_rate_hz"),
    ],
)
def test_codec_of_another_rate_is_refused_with_its_yaml_path(video, audio, path):
    with pytest.raises(ValueError, match=path):
        System(Geometry(), video, audio, _Text())


def _parser() -> ArgumentParser:
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(System, "system")
    return parser


def test_system_comes_out_of_class_paths():
    config = {
        "class_path": "harmony_lit.system.System",
        "init_args": {
            "geometry": {"fps": 24.0},
            "video_codec": {"class_path": "harmony_lit.codecs.conv_video.ConvVideoCodec", "init_args": {"channels": 8}},
            "audio_codec": {"class_path": "harmony_lit.codecs.spectral_audio.SpectralAudioCodec"},
            "text_encoder": {"class_path": "harmony_lit.encoders.hashing.HashTextEncoder", "init_args": {"dim": 32}},
        },
    }
    parser = _parser()
    system = parser.instantiate(parser.parse_object({"system": config})).system
    assert isinstance(system, System)
    assert system.geometry.fps == 24.0
    assert system.video_codec.channels == 8
    assert system.text_encoder.dim == 32
