"""Pictures in motion, and networks whose values depend on nothing but their names."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from data.media import read_clip
from harmony_lit.containers import Clip
from metrics.networks import forget_shared

REAL_CLIP = Path(__file__).parents[4] / "shared/assets/clips/hitting_bag.mp4"


def texture(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Smooth noise, (height, width, 3) uint8."""
    coarse = torch.from_numpy(np.random.default_rng(seed).random((1, 3, height // 8, width // 8))).float()
    fine = torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic", align_corners=False)
    return (255 * fine[0].clamp(0, 1)).permute(1, 2, 0).byte().numpy()


def panned(columns: list[int], height: int = 64, width: int = 96, fps: float = 25.0) -> Clip:
    """A texture seen through a window that stands ``columns[i]`` to the right in frame i, so it moves to the left."""
    wide = texture(height, width + max(columns) + 8)
    frames = np.stack([wide[:, c : c + width] for c in columns])
    return Clip(torch.from_numpy(frames).permute(0, 3, 1, 2).contiguous(), torch.zeros(640 * len(columns)), fps, 16_000)


def fill_by_name(network: nn.Module) -> nn.Module:
    """Values that any implementation with the same names can repeat; see ``golden/README.md``."""
    state = network.state_dict()
    for name, tensor in state.items():
        draw = torch.Generator().manual_seed(zlib.crc32(name.encode()))
        if not tensor.is_floating_point():
            tensor.zero_()
        elif name.endswith("running_var"):
            tensor.copy_(1 + 0.1 * torch.rand(tensor.shape, generator=draw))
        elif tensor.ndim == 1 and name.endswith("weight"):
            tensor.copy_(1 + 0.02 * torch.randn(tensor.shape, generator=draw))
        else:
            tensor.copy_(0.02 * torch.randn(tensor.shape, generator=draw))
    return network.eval()


@pytest.fixture
def pan():
    return panned


@pytest.fixture
def fill():
    return fill_by_name


@pytest.fixture
def real_clip():
    """Six frames of a real clip, an eighth of a second apart, a quarter of its size."""
    if not REAL_CLIP.is_file():
        pytest.skip(f"needs {REAL_CLIP}")
    clip = read_clip(REAL_CLIP, fps=8.0)
    small = torch.nn.functional.interpolate(clip.video[:6].float(), scale_factor=0.25, mode="area").byte()
    return Clip(small, clip.audio[:12_000], 8.0, 16_000)


@pytest.fixture(autouse=True)
def no_networks_left():
    yield
    forget_shared()
