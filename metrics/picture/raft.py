"""RAFT, the network that VBench measures motion with (Teed and Deng 2020, https://arxiv.org/abs/2003.12039).

Names of modules are those of the authors' code (BSD-3), so that ``raft-things.pth`` loads strictly; it has 5,257,536
parameters.

Shape legend: B pairs, H W rows and columns, h w an eighth of them.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from metrics.picture.correlation import CorrelationPyramid, pixel_grid
from metrics.picture.residual import FeatureEncoder, ResidualBlock

_HIDDEN = _CONTEXT = 128
_LEVELS, _RADIUS = 4, 4
_LEAST_PX = 64
"""Sides below this leave nothing of the coarsest level of the correlations."""


class MotionEncoder(nn.Module):
    """Correlations and flow as 128 channels, the last two of which are the flow."""

    def __init__(self) -> None:
        super().__init__()
        self.convc1 = nn.Conv2d(_LEVELS * (2 * _RADIUS + 1) ** 2, 256, 1)
        self.convc2 = nn.Conv2d(256, 192, 3, padding=1)
        self.convf1 = nn.Conv2d(2, 128, 7, padding=3)
        self.convf2 = nn.Conv2d(128, 64, 3, padding=1)
        self.conv = nn.Conv2d(64 + 192, 128 - 2, 3, padding=1)

    def forward(self, flow: Tensor, correlation: Tensor) -> Tensor:
        """(B, 2, h, w) and (B, 324, h, w) to (B, 128, h, w)."""
        seen = F.relu(self.convc2(F.relu(self.convc1(correlation))))
        moved = F.relu(self.convf2(F.relu(self.convf1(flow))))
        return torch.cat([F.relu(self.conv(torch.cat([seen, moved], 1))), flow], 1)


class SeparableGRU(nn.Module):
    """A gated recurrent unit of convolutions along rows, then one along columns."""

    def __init__(self, hidden: int, width_in: int) -> None:
        super().__init__()
        for index, (kernel, padding) in enumerate((((1, 5), (0, 2)), ((5, 1), (2, 0))), start=1):
            for gate in "zrq":
                conv = nn.Conv2d(hidden + width_in, hidden, kernel, padding=padding)
                self.add_module(f"conv{gate}{index}", conv)

    def forward(self, state: Tensor, x: Tensor) -> Tensor:
        """The next state, (B, hidden, h, w), after seeing ``x`` (B, width_in, h, w)."""
        for index in (1, 2):
            gates = {gate: self.get_submodule(f"conv{gate}{index}") for gate in "zrq"}
            both = torch.cat([state, x], 1)
            update, reset = torch.sigmoid(gates["z"](both)), torch.sigmoid(gates["r"](both))
            proposed = torch.tanh(gates["q"](torch.cat([reset * state, x], 1)))
            state = (1 - update) * state + update * proposed
        return state


class FlowHead(nn.Module):
    """The change of flow that a state proposes."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(_HIDDEN, 256, 3, padding=1)
        self.conv2 = nn.Conv2d(256, 2, 3, padding=1)

    def forward(self, state: Tensor) -> Tensor:
        """(B, 128, h, w) to (B, 2, h, w)."""
        change: Tensor = self.conv2(F.relu(self.conv1(state)))
        return change


class UpdateBlock(nn.Module):
    """One step of refinement."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = MotionEncoder()
        self.gru = SeparableGRU(_HIDDEN, 128 + _CONTEXT)
        self.flow_head = FlowHead()
        self.mask = nn.Sequential(nn.Conv2d(128, 256, 3, padding=1), nn.ReLU(), nn.Conv2d(256, 64 * 9, 1))

    def forward(self, state: Tensor, context: Tensor, correlation: Tensor, flow: Tensor) -> tuple[Tensor, Tensor]:
        """The next state and the change of flow."""
        state = self.gru(state, torch.cat([context, self.encoder(flow, correlation)], 1))
        return state, self.flow_head(state)


class RAFTNetwork(nn.Module):
    """Optical flow between two pictures."""

    def __init__(self) -> None:
        super().__init__()
        self.fnet = FeatureEncoder(ResidualBlock, (64, 96, 128), 256, nn.InstanceNorm2d)
        self.cnet = FeatureEncoder(ResidualBlock, (64, 96, 128), _HIDDEN + _CONTEXT, nn.BatchNorm2d)
        self.update_block = UpdateBlock()

    def forward(self, before: Tensor, after: Tensor, iterations: int = 20) -> Tensor:
        """The flow from ``before`` to ``after``.

        Args:
            before: (B, 3, H, W), values of 0 to 255; sides that are no multiple of 8 are padded with their border.
            after: Likewise.
            iterations: Steps of refinement, at least 1.

        Returns:
            (B, 2, H, W) in pixels, column first: what is at x in ``before`` is at x + flow in ``after``.
        """
        height, width = before.shape[-2:]
        border = _border(height, width)
        dtype = self.fnet.conv1.weight.dtype
        first, second = (F.pad(2 * (x / 255) - 1, border, mode="replicate").to(dtype) for x in (before, after))
        first_features, second_features = self.fnet(torch.cat([first, second])).chunk(2)
        pyramid = CorrelationPyramid(first_features, second_features, _LEVELS, _RADIUS)
        state, context = self.cnet(first).split([_HIDDEN, _CONTEXT], 1)
        state, context = torch.tanh(state), torch.relu(context)
        here = pixel_grid(state.shape[-2], state.shape[-1], state.device)
        flow = torch.zeros_like(here).expand(len(before), -1, -1, -1)
        for _ in range(iterations):
            seen = pyramid.lookup(here + flow).to(dtype)
            state, change = self.update_block(state, context, seen, flow.to(dtype))
            flow = flow + change.float()
        full = upsampled(flow, 0.25 * self.update_block.mask(state).float())
        return full[..., border[2] : border[2] + height, border[0] : border[0] + width]


def upsampled(flow: Tensor, mask: Tensor) -> Tensor:
    """Eight times as large, each new pixel a weighted mean of its nine coarse neighbours.

    Args:
        flow: (B, 2, h, w) in pixels of its own size.
        mask: (B, 576, h, w), logits of the weights: neighbour, then row and column within the 8 x 8 new pixels.

    Returns:
        (B, 2, 8h, 8w) in pixels of the new size.
    """
    batch, _, height, width = flow.shape
    weights = mask.view(batch, 1, 9, 8, 8, height, width).softmax(dim=2)
    neighbours = F.unfold(8 * flow, 3, padding=1).view(batch, 2, 9, 1, 1, height, width)
    fine = (weights * neighbours).sum(dim=2)
    return fine.permute(0, 1, 4, 2, 5, 3).reshape(batch, 2, 8 * height, 8 * width)


def _border(height: int, width: int) -> tuple[int, int, int, int]:
    """Left, right, top, bottom: up to a multiple of 8 and what the pyramid needs, split evenly."""
    sides = []
    for size in (width, height):
        lacking = max(_LEAST_PX, size + -size % 8) - size
        sides += [lacking // 2, lacking - lacking // 2]
    return sides[0], sides[1], sides[2], sides[3]
