"""The residual block of both world codecs."""

from __future__ import annotations

from typing import TypeVar

from torch import Tensor, nn

Conv = TypeVar("Conv", bound=nn.Conv1d | nn.Conv2d)


class Residual(nn.Module):
    """``x + conv(act(conv(act(x))))`` with kernels of 3, whose second convolution starts at zero.

    Args:
        conv: ``nn.Conv1d`` or ``nn.Conv2d``.
        width: Channels of ``x``.
    """

    def __init__(self, conv: type[nn.Conv1d] | type[nn.Conv2d], width: int) -> None:
        super().__init__()
        last = zeroed(conv(width, width, 3, padding=1))
        self.layers = nn.Sequential(nn.SiLU(), conv(width, width, 3, padding=1), nn.SiLU(), last)

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, ...) -> the same."""
        return x + self.layers(x)


def zeroed(conv: Conv) -> Conv:
    """``conv`` with weights and bias at zero, so that a residual branch starts as nothing."""
    assert conv.bias is not None
    nn.init.zeros_(conv.weight)
    nn.init.zeros_(conv.bias)
    return conv
