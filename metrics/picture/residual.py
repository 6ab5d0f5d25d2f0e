"""The convolutional encoder of RAFT, in its basic form (two convolutions a block) and its small one (bottlenecks).

Names of modules are those of RAFT's code, so that its published weights, and AMT's, load as they are.

Shape legend: B pictures, H W rows and columns.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor, nn

Norm = Callable[[int], nn.Module]


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions, the first with ``stride``, around a skip connection."""

    def __init__(self, width_in: int, width: int, norm: Norm, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width_in, width, 3, stride, padding=1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)
        self.norm1, self.norm2 = norm(width), norm(width)
        self.relu = nn.ReLU()
        self.downsample: nn.Module | None = None
        if stride != 1:
            # Published files have this norm under both of its names.
            self.norm3 = norm(width)
            self.downsample = nn.Sequential(nn.Conv2d(width_in, width, 1, stride), self.norm3)

    def forward(self, x: Tensor) -> Tensor:
        """(B, width_in, H, W) to (B, width, H / stride, W / stride)."""
        y = self.relu(self.norm1(self.conv1(x)))
        y = self.relu(self.norm2(self.conv2(y)))
        return self.relu((x if self.downsample is None else self.downsample(x)) + y)


class BottleneckBlock(nn.Module):
    """A 3x3 convolution with ``stride`` between two of 1x1, at a quarter of the width, around a skip connection."""

    def __init__(self, width_in: int, width: int, norm: Norm, stride: int) -> None:
        super().__init__()
        narrow = width // 4
        self.conv1 = nn.Conv2d(width_in, narrow, 1)
        self.conv2 = nn.Conv2d(narrow, narrow, 3, stride, padding=1)
        self.conv3 = nn.Conv2d(narrow, width, 1)
        self.norm1, self.norm2, self.norm3 = norm(narrow), norm(narrow), norm(width)
        self.relu = nn.ReLU()
        self.downsample: nn.Module | None = None
        if stride != 1:
            self.norm4 = norm(width)
            self.downsample = nn.Sequential(nn.Conv2d(width_in, width, 1, stride), self.norm4)

    def forward(self, x: Tensor) -> Tensor:
        """(B, width_in, H, W) to (B, width, H / stride, W / stride)."""
        y = self.relu(self.norm1(self.conv1(x)))
        y = self.relu(self.norm2(self.conv2(y)))
        y = self.relu(self.norm3(self.conv3(y)))
        return self.relu((x if self.downsample is None else self.downsample(x)) + y)


class FeatureEncoder(nn.Module):
    """A picture's features at an eighth of its size.

    Args:
        block: The kind of block.
        widths: Channels at a half, a quarter and an eighth of the size.
        width_out: Channels of the features.
        norm: Makes a norm for a number of channels.
    """

    def __init__(
        self, block: type[ResidualBlock] | type[BottleneckBlock], widths: Sequence[int], width_out: int, norm: Norm
    ) -> None:
        super().__init__()
        half, quarter, eighth = widths
        self.conv1 = nn.Conv2d(3, half, 7, stride=2, padding=3)
        self.norm1 = norm(half)
        self.relu1 = nn.ReLU()
        self.layer1 = nn.Sequential(block(half, half, norm, 1), block(half, half, norm, 1))
        self.layer2 = nn.Sequential(block(half, quarter, norm, 2), block(quarter, quarter, norm, 1))
        self.layer3 = nn.Sequential(block(quarter, eighth, norm, 2), block(eighth, eighth, norm, 1))
        self.conv2 = nn.Conv2d(eighth, width_out, 1)

    def forward(self, pictures: Tensor) -> Tensor:
        """(B, 3, H, W) to (B, width_out, H / 8, W / 8)."""
        x = self.relu1(self.norm1(self.conv1(pictures)))
        features: Tensor = self.conv2(self.layer3(self.layer2(self.layer1(x))))
        return features
