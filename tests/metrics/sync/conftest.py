"""A SyncNet small enough for tests, and clips whose picture shows what they sound like."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from harmony_lit.containers import Clip
from metrics.sync.network import SyncNet

TINY = {
    "size": 51,
    "lip_widths": [8, 8, 8, 8, 8, 16],
    "audio_widths": [8, 8, 8, 8, 8, 16],
    "features": 8,
}


@pytest.fixture
def tiny() -> SyncNet:
    torch.manual_seed(0)
    return SyncNet(**TINY)


def blinking_clip(seed: int, frames: int = 50, size: int = 51) -> Clip:
    """A lamp that goes on and off at random, and noise whose loudness is its brightness."""
    rng = np.random.default_rng(seed)
    level = np.repeat(rng.uniform(0, 1, frames // 2 + 1), 2)[:frames]
    video = np.zeros((frames, 3, size, size), np.uint8)
    video[:, :, size // 4 : -size // 4, size // 4 : -size // 4] = (255 * level).astype(np.uint8)[:, None, None, None]
    audio = 0.3 * np.repeat(level, 640) ** 2 * rng.normal(size=640 * frames)
    return Clip(torch.from_numpy(video), torch.from_numpy(audio).float().clamp(-1, 1), 25.0, 16_000)


@pytest.fixture(scope="session")
def blinking():
    return blinking_clip
