"""Rotary position embedding at real-valued positions (one, or three axes for video).

Shape legend: B batch, N heads, L tokens, E head width. A rotation is a complex tensor (B or 1, 1, L, E / 2) of unit
numbers that turn neighbouring pairs of channels, as Wan does.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

Rotation = Tensor


def angles(positions: Tensor, dim: int, theta: float = 10_000.0) -> Tensor:
    """Angles of ``positions`` (..., L) on ``dim`` channels: (..., L, dim / 2), computed in float64."""
    exponents = torch.arange(0, dim, 2, device=positions.device, dtype=torch.float64) / dim
    return positions.double()[..., None] * theta**-exponents


def rotation(*axes: Tensor) -> Rotation:
    """Joins the angles of one or more axes (each (B or 1, L, dim_i / 2)) into a rotation."""
    joined = torch.cat(axes, dim=-1)[:, None]
    return torch.polar(torch.ones_like(joined), joined).to(torch.complex64)


def rotate(x: Tensor, by: Rotation) -> Tensor:
    """Turns x (B, N, L, E) by ``by``; the result has x's dtype."""
    pairs = torch.view_as_complex(x.float().unflatten(-1, (-1, 2)))
    return torch.view_as_real(pairs * by).flatten(-2).to(x.dtype)


def video_axes(head_dim: int) -> tuple[int, int, int]:
    """How Wan splits a head's channels over time, rows and columns."""
    side = 2 * (head_dim // 6)
    return head_dim - 2 * side, side, side


def video_rotation(frames: int, rows: int, cols: int, head_dim: int, device: torch.device) -> Rotation:
    """Rotation of the video tokens in (frame, row, column) order: L = frames * rows * cols."""
    grid = torch.meshgrid(*(torch.arange(n, device=device) for n in (frames, rows, cols)), indexing="ij")
    parts: Sequence[Tensor] = [
        angles(axis.reshape(1, -1), dim) for axis, dim in zip(grid, video_axes(head_dim), strict=True)
    ]
    return rotation(*parts)


def time_rotation(positions: Tensor, head_dim: int) -> Rotation:
    """Rotation over time alone: positions (B or 1, L), any real values."""
    return rotation(angles(positions, head_dim))
