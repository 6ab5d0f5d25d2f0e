"""A bench small enough for tests: clips of a moving square that clicks, codecs that only pool, a model of one line."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from data.shards import ClipShardWriter, encode_sample
from harmony_lit.containers import Annotation, Clip, Prediction
from harmony_lit.encoders.hashing import HashTextEncoder
from harmony_lit.geometry import Geometry
from harmony_lit.guidance import NoGuidance
from harmony_lit.sampling import Sampler
from harmony_lit.system import System
from metrics.bench.cases import CATEGORIES
from metrics.bench.studio import Studio

FRAMES, SIZE = 9, 32


def square_clip(seed: int, frames: int = FRAMES) -> Clip:
    rng = np.random.default_rng(seed)
    video = np.full((frames, 3, SIZE, SIZE), 30 + 10 * (seed % 5), np.uint8)
    for frame in range(frames):
        column = 2 + 2 * (frame if frame < frames // 2 else frames - frame)
        video[frame, :, 8:20, column : column + 10] = 200
    audio = 1e-3 * rng.normal(size=frames * 640)
    audio[frames // 2 * 640 :][:400] += 0.4 * rng.normal(size=400)
    return Clip(torch.from_numpy(video), torch.from_numpy(audio).float(), 25.0, 16_000)


class PoolingCodec:
    """Each latent is the mean colour of its pixels."""

    channels, stride, fingerprint = 3, (4, 16, 16), "pooling"

    def encode(self, video: torch.Tensor) -> torch.Tensor:
        small = F.avg_pool3d(video, (1, 16, 16))
        later = [small[:, :, i : i + 4].mean(2, keepdim=True) for i in range(1, small.shape[2], 4)]
        return torch.cat([small[:, :, :1], *later], dim=2)

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        big = latents.repeat_interleave(16, 3).repeat_interleave(16, 4)
        return torch.cat([big[:, :, :1], big[:, :, 1:].repeat_interleave(4, 2)], dim=2).clamp(-1, 1)


class FoldingCodec:
    """Each latent holds its samples as they are."""

    channels, hop, sample_rate_hz, fingerprint = 512, 512, 16_000, "folding"

    def encode(self, audio: torch.Tensor) -> torch.Tensor:
        whole = audio.shape[1] // 512
        return audio[:, : whole * 512].reshape(len(audio), whole, 512).transpose(1, 2)

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        return latents.transpose(1, 2).flatten(1).clamp(-1, 1)


class CountingDenoiser:
    """Pulls everything towards zero, and counts the clips it was asked about."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, video, audio, t_video, t_audio, conditions) -> Prediction:
        self.calls += len(t_video)
        return Prediction(0.9 * video.x, 0.9 * audio.x)


@pytest.fixture(scope="session")
def clip_shards(tmp_path_factory):
    """Four test clips of each category."""
    folder = tmp_path_factory.mktemp("world") / "clips"
    with ClipShardWriter(folder, frames=FRAMES, height=SIZE, width=SIZE) as writer:
        for index in range(12):
            annotation = Annotation(
                key=f"test-{index:03d}",
                category=CATEGORIES[index % 3],
                video_caption=f"square {index}",
                transcript="one" if index % 3 else "",
                attributes={"number": index},
            )
            clip = square_clip(index)
            writer.add("test", annotation.key, encode_sample(clip, annotation, clip.audio[:4096]))
    return folder


def make_studio() -> Studio:
    return Studio(
        system=System(Geometry(patch=(1, 1, 1)), PoolingCodec(), FoldingCodec(), HashTextEncoder()),
        denoise=CountingDenoiser(),
        sampler=Sampler(steps=2, guidance=NoGuidance()),
        weights="w0",
        frames=FRAMES,
        height=SIZE,
        width=SIZE,
        batch_size=4,
    )


@pytest.fixture
def studio():
    return make_studio()


@pytest.fixture(scope="session")
def studio_factory():
    return make_studio


@pytest.fixture(scope="session")
def clip_maker():
    return square_clip
