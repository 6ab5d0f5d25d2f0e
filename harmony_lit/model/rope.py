"""Rotary position embedding at real-valued positions (one, or three axes for video).

Shape legend: B batch, N heads, L tokens, E head width. A rotation holds cosine and sine, (B or 1, 1, L, E / 2, 2), that
turn neighbouring pairs of channels, as Wan does.
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
    return torch.stack([joined.cos(), joined.sin()], dim=-1).float()


def rotate(x: Tensor, by: Rotation) -> Tensor:
    """Turns x (B, N, L, E) by ``by``; the result has x's dtype.

    Eagerly a complex product, one kernel that keeps nothing of x for backward; the compiler, which has no complex
    numbers, is given the real products to fuse.
    """
    pairs = x.float().unflatten(-1, (-1, 2))
    if torch.compiler.is_compiling():
        (real, imaginary), (cos, sin) = pairs.unbind(-1), by.unbind(-1)
        turned = torch.stack([real * cos - imaginary * sin, real * sin + imaginary * cos], dim=-1)
    else:
        turned = torch.view_as_real(torch.view_as_complex(pairs) * torch.view_as_complex(by))
    return turned.flatten(-2).to(x.dtype)


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
