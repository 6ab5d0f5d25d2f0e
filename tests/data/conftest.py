"""Tiny codecs with the strides of the real ones, and a folder of latents made with them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from data.latents import encode_shards
from data.shards import ClipShardWriter, encode_sample
from harmony_lit.containers import Annotation, Clip
from harmony_lit.encoders.hashing import HashTextEncoder
from harmony_lit.geometry import Geometry
from harmony_lit.system import System


class FakeVideoCodec:
    """Mean colours of each block; the first frame alone, the others in fours."""

    channels = 3
    stride = (4, 16, 16)

    def __init__(self, fingerprint: str = "video-1") -> None:
        self.fingerprint = fingerprint

    def encode(self, video: Tensor) -> Tensor:
        small = torch.nn.functional.avg_pool3d(video, (1, 16, 16))
        later = torch.nn.functional.avg_pool3d(small[:, :, 1:], (4, 1, 1))
        return torch.cat([small[:, :, :1], later], dim=2)

    def decode(self, latents: Tensor) -> Tensor:
        raise NotImplementedError


class FakeAudioCodec:
    """Two channels: the mean and the level of each hop."""

    channels = 2
    hop = 512
    sample_rate_hz = 16_000

    def __init__(self, fingerprint: str = "audio-1") -> None:
        self.fingerprint = fingerprint

    def encode(self, audio: Tensor) -> Tensor:
        hops = audio[:, : audio.shape[1] // 512 * 512].unflatten(1, (-1, 512))
        return torch.stack([hops.mean(-1), hops.square().mean(-1).sqrt()], dim=1)

    def decode(self, latents: Tensor) -> Tensor:
        raise NotImplementedError


def make_system(video: str = "video-1", audio: str = "audio-1", dim: int = 8) -> System:
    return System(Geometry(), FakeVideoCodec(video), FakeAudioCodec(audio), HashTextEncoder(dim))


def make_clip(index: int, frames: int = 29) -> Clip:
    generator = torch.Generator().manual_seed(index)
    colour = torch.randint(0, 255, (3,), generator=generator, dtype=torch.uint8)
    video = colour[None, :, None, None].expand(frames, 3, 32, 32).clone()
    audio = 0.3 * torch.sin(torch.arange(round(frames * 640)) * (0.02 + 0.001 * index))
    return Clip(video, audio, 25.0, 16_000)


CATEGORIES = ("ambient", "speech", "complex")


def make_annotation(index: int) -> Annotation:
    category = CATEGORIES[index % 3]
    spoken = category != "ambient"
    return Annotation(
        key=f"clip{index:03d}",
        category=category,
        video_caption=f"a thing number {index}",
        audio_caption="" if category == "speech" else "a thump",
        transcript=f"take {index}" if spoken else "",
        speaker="ada" if spoken else None,
        events=({"time_s": 0.1}, {"time_s": 1.0}),
    )


def write_clips(folder: Path, train: int = 24, val: int = 5, per_shard: int = 7) -> Path:
    with ClipShardWriter(folder, height=32, width=32, generator={"seed": 3}, samples_per_shard=per_shard) as writer:
        for index in range(train + val):
            clip = make_clip(index, frames=29 if index % 2 else 33)
            annotation = make_annotation(index)
            reference = make_clip(index + 1_000).audio if annotation.speaker else None
            split = "train" if index < train else "val"
            writer.add(split, annotation.key, encode_sample(clip, annotation, reference))
    return folder


@pytest.fixture(scope="session")
def clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clips(tmp_path_factory.mktemp("world") / "clips")


@pytest.fixture(scope="session")
def latent_folder(clip_folder: Path) -> Path:
    out = clip_folder.parent / "latents"
    encode_shards(clip_folder, out, make_system(), batch_size=4, samples_per_shard=5)
    return out


@pytest.fixture(scope="session")
def system() -> System:
    return make_system()
