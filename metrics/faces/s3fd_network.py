"""S3FD (Zhang et al., "S3FD: Single Shot Scale-invariant Face Detector", ICCV 2017), in its published key layout.

Shape legend: B batch, H W rows and columns of the input, P anchors (one per place of six maps).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

MEAN_RGB = (123.0, 117.0, 104.0)
"""What is taken from the 0-255 values of each channel."""
STRIDES = (4, 8, 16, 32, 64, 128)
"""Pixels from one anchor to the next in each map; an anchor is a square of four times that."""
SMALLEST_INPUT_PX = 32
"""On a smaller picture the deeper maps have no place at all."""
_VARIANCES = (0.1, 0.2)
_VGG16 = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))


@dataclass(frozen=True)
class Anchored:
    """What the network says about each anchor.

    Attributes:
        faces: (B, P) confidence in [0, 1] that there is a face.
        boxes: (B, P, 4) left, top, right and bottom in pixels of the input.
    """

    faces: Tensor
    boxes: Tensor


class ScaledUnit(nn.Module):
    """Features of unit length, each channel times a learned weight: (B, C, H, W) -> the same."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        return self.weight[:, None, None] * (x / (x.square().sum(dim=1, keepdim=True).sqrt() + 1e-10))


class S3FDNetwork(nn.Module):
    """VGG-16, four more convolutions, and at six depths a box and a face score for every place."""

    def __init__(self) -> None:
        super().__init__()
        self.vgg = nn.ModuleList(_vgg_layers())
        self.L2Norm3_3, self.L2Norm4_3, self.L2Norm5_3 = ScaledUnit(256), ScaledUnit(512), ScaledUnit(512)
        self.extras = nn.ModuleList(
            [
                nn.Conv2d(1024, 256, 1),
                nn.Conv2d(256, 512, 3, stride=2, padding=1),
                nn.Conv2d(512, 128, 1),
                nn.Conv2d(128, 256, 3, stride=2, padding=1),
            ]
        )
        widths = (256, 512, 512, 1024, 512, 256)
        self.loc = nn.ModuleList(nn.Conv2d(width, 4, 3, padding=1) for width in widths)
        # The first map, whose anchors are many and small, has three scores for "no face" and takes the highest.
        outputs = (4, 2, 2, 2, 2, 2)
        self.conf = nn.ModuleList(nn.Conv2d(width, n, 3, padding=1) for width, n in zip(widths, outputs, strict=True))

    def forward(self, pictures: Tensor) -> Anchored:
        """Pictures (B, 3, H, W), RGB from 0 to 255 less ``MEAN_RGB``, both sides at least ``SMALLEST_INPUT_PX``."""
        boxes, scores = [], []
        for features, stride, loc, conf in zip(self._maps(pictures), STRIDES, self.loc, self.conf, strict=True):
            boxes.append(_decode(loc(features).float(), stride))
            score = conf(features).float().flatten(2)
            nothing, something = score[:, :-1].amax(dim=1), score[:, -1]
            scores.append(torch.stack([nothing, something]).softmax(dim=0)[1])
        return Anchored(torch.cat(scores, dim=1), torch.cat(boxes, dim=1))

    def _maps(self, x: Tensor) -> list[Tensor]:
        normalised = {15: self.L2Norm3_3, 22: self.L2Norm4_3, 29: self.L2Norm5_3}
        maps = []
        for index, layer in enumerate(self.vgg):
            x = layer(x)
            if index in normalised:
                maps.append(normalised[index](x))
        maps.append(x)
        for index, layer in enumerate(self.extras):
            x = F.relu(layer(x))
            if index % 2:
                maps.append(x)
        return maps


def _vgg_layers() -> list[nn.Module]:
    layers: list[nn.Module] = []
    width = 3
    for stage, outputs in enumerate(_VGG16):
        for out in outputs:
            layers += [nn.Conv2d(width, out, 3, padding=1), nn.ReLU(inplace=True)]
            width = out
        layers.append(nn.MaxPool2d(2, 2, ceil_mode=stage == 2))
    layers += [nn.Conv2d(width, 1024, 3, padding=6, dilation=6), nn.ReLU(inplace=True)]
    return [*layers, nn.Conv2d(1024, 1024, 1), nn.ReLU(inplace=True)]


def _decode(offsets: Tensor, stride: int) -> Tensor:
    """Offsets (B, 4, rows, columns) from the anchors of one map to boxes (B, rows * columns, 4) in pixels."""
    rows, columns = offsets.shape[-2:]
    side = 4.0 * stride
    y = (torch.arange(rows, device=offsets.device) + 0.5) * stride
    x = (torch.arange(columns, device=offsets.device) + 0.5) * stride
    centres = torch.stack([x.expand(rows, columns), y[:, None].expand(rows, columns)])
    centres = centres + _VARIANCES[0] * side * offsets[:, :2]
    half = side / 2 * torch.exp(_VARIANCES[1] * offsets[:, 2:])
    return torch.cat([centres - half, centres + half], dim=1).flatten(2).transpose(1, 2)
