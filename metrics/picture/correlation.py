"""How alike each place of one picture is to all places of another, and looking that up around a guess.

Teed and Deng, "RAFT: Recurrent All-Pairs Field Transforms for Optical Flow", 2020, section 3.2.

Shape legend: B pairs, C channels, H W rows and columns of the features, L levels, r radius.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def pixel_grid(height: int, width: int, device: torch.device) -> Tensor:
    """Where each pixel is: (1, 2, H, W), column first."""
    rows, columns = torch.meshgrid(
        torch.arange(height, device=device), torch.arange(width, device=device), indexing="ij"
    )
    return torch.stack([columns, rows]).float()[None]


def sample_at(pictures: Tensor, places: Tensor) -> Tensor:
    """Bilinear values at ``places`` in pixels, column first; zero outside: (B, C, H, W), (B, h, w, 2) -> (B, C, h, w).

    Pixel centres are mapped to grid_sample's coordinates by their outer edges, not by the outermost centres as usual:
    the values are the same, and a picture one pixel wide needs no division by zero.
    """
    size = torch.tensor([pictures.shape[-1], pictures.shape[-2]], device=places.device)
    return F.grid_sample(pictures, (2 * places + 1) / size - 1, align_corners=False)


class CorrelationPyramid:
    """Dot products of all features of ``first`` with all of ``second``, the latter also at coarser levels.

    Args:
        first: (B, C, H, W).
        second: (B, C, H, W), at least 2^(levels - 1) on each side.
        levels: L, each half the size of the one before.
        radius: How far, in pixels of each level, a lookup reaches.
    """

    def __init__(self, first: Tensor, second: Tensor, levels: int = 4, radius: int = 4) -> None:
        self.radius = radius
        batch, channels, height, width = first.shape
        products = torch.einsum("bci,bcj->bij", first.float().flatten(2), second.float().flatten(2))
        level = products.reshape(batch * height * width, 1, height, width) / channels**0.5
        self.levels = [level]
        for _ in range(levels - 1):
            level = F.avg_pool2d(level, 2)
            self.levels.append(level)

    def lookup(self, places: Tensor) -> Tensor:
        """What is found around ``places`` in the second picture.

        Args:
            places: (B, 2, H, W), for each pixel of the first picture a place in the second, column first.

        Returns:
            (B, L * (2r + 1)^2, H, W): level by level, and in each column by column.
        """
        batch, _, height, width = places.shape
        reach = torch.arange(-self.radius, self.radius + 1, device=places.device, dtype=places.dtype)
        around = torch.stack(torch.meshgrid(reach, reach, indexing="ij"), dim=-1)
        centres = places.permute(0, 2, 3, 1).reshape(-1, 1, 1, 2)
        found = [
            sample_at(level, centres / 2**index + around).reshape(batch, height, width, -1)
            for index, level in enumerate(self.levels)
        ]
        return torch.cat(found, dim=-1).permute(0, 3, 1, 2)
