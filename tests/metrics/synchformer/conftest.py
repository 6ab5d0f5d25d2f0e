"""A Synchformer of the published size, filled at random by the recipe of the golden values, as a published file."""

from __future__ import annotations

import zlib

import pytest
import torch

from metrics.networks import forget_shared
from metrics.synchformer.network import Synchformer


def fill(name: str, value: torch.Tensor) -> torch.Tensor:
    generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
    noise = torch.randn(value.shape, generator=generator)
    return 1 + 0.02 * noise if value.dim() == 1 and name.endswith("weight") else 0.02 * noise


@pytest.fixture(scope="session")
def random_weights(tmp_path_factory):
    """Path of ``synchformer_state_dict.pth`` with random values."""
    with torch.device("meta"):
        shapes = Synchformer().state_dict()
    path = tmp_path_factory.mktemp("synchformer") / "synchformer_state_dict.pth"
    torch.save({name: fill(name, value) for name, value in shapes.items()}, path)
    yield str(path)
    forget_shared()
    path.unlink()
