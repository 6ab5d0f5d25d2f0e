"""AMT-S, the network that VBench interpolates frames with (Li et al. 2023, https://arxiv.org/abs/2304.09790).

It draws the frame half way between two: flows from the middle to both are refined from coarse to fine, at each of
three scales by looking up correlations between the two frames; three fields of flow end in as many blends of both.
Names of modules are those of the authors' code, so that ``amt-s.pth`` loads strictly; 2,990,543 parameters.

Shape legend: B pairs, H W rows and columns, n flow fields for each frame; an index such as ``_8`` says what part of the
size a tensor has.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from metrics.picture.correlation import CorrelationPyramid, pixel_grid, sample_at
from metrics.picture.residual import BottleneckBlock, FeatureEncoder

_CHANNELS = (20, 32, 44, 56)
_SIDE = 20
_FIELDS = 3
_LEVELS, _RADIUS = 4, 3
_MULTIPLE_PX, _LEAST_PX = 16, 64


def _resized(x: Tensor, factor: float) -> Tensor:
    return F.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False)


def _warped(x: Tensor, flow: Tensor) -> Tensor:
    """The values of ``x`` (B, C, H, W) at each pixel plus ``flow`` (B, 2, H, W); its border goes on outside."""
    height, width = x.shape[-2:]
    places = (pixel_grid(height, width, x.device) + flow.float()).permute(0, 2, 3, 1)
    last = torch.tensor([width - 1, height - 1], device=x.device)
    return sample_at(x.float(), places.clamp(torch.zeros_like(last), last)).to(x.dtype)


def _conv_prelu(width_in: int, width: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(width_in, width, 3, stride, padding=1), nn.PReLU(width))


class SideBlock(nn.Module):
    """Five convolutions around a skip connection, of which two see the last channels alone."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1, self.conv3 = _conv_prelu(width, width), _conv_prelu(width, width)
        self.conv2, self.conv4 = _conv_prelu(_SIDE, _SIDE), _conv_prelu(_SIDE, _SIDE)
        self.conv5 = nn.Conv2d(width, width, 3, padding=1)
        self.prelu = nn.PReLU(width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, H, W) to the same."""
        y = self.conv1(x)
        y = self.conv3(torch.cat([y[:, :-_SIDE], self.conv2(y[:, -_SIDE:])], 1))
        y = self.conv5(torch.cat([y[:, :-_SIDE], self.conv4(y[:, -_SIDE:])], 1))
        out: Tensor = self.prelu(x + y)
        return out


class PyramidEncoder(nn.Module):
    """Features at a half, a quarter, an eighth and a sixteenth of the size."""

    def __init__(self) -> None:
        super().__init__()
        widths = (3, *_CHANNELS)
        for index in range(1, 5):
            narrow, wide = widths[index - 1], widths[index]
            self.add_module(f"pyramid{index}", nn.Sequential(_conv_prelu(narrow, wide, 2), _conv_prelu(wide, wide)))

    def forward(self, x: Tensor) -> list[Tensor]:
        """From (B, 3, H, W), finest first."""
        found = []
        for level in self.children():
            x = level(x)
            found.append(x)
        return found


class Decoder(nn.Module):
    """A convolutional block that ends at twice the size."""

    def __init__(self, width_in: int, width: int, width_out: int) -> None:
        super().__init__()
        self.convblock = nn.Sequential(
            _conv_prelu(width_in, width), SideBlock(width), nn.ConvTranspose2d(width, width_out, 4, 2, 1)
        )

    def forward(self, *parts: Tensor) -> Tensor:
        """Parts of together ``width_in`` channels, (B, ., H, W) each, to (B, width_out, 2H, 2W)."""
        out: Tensor = self.convblock(torch.cat(parts, 1))
        return out


class UpdateBlock(nn.Module):
    """Changes features and both flows by the correlations that were looked up along the flows.

    Args:
        width: Channels of the features.
        scale: How much larger features are than the correlations, which are at an eighth of the picture.
    """

    def __init__(self, width: int, scale: int) -> None:
        super().__init__()
        self.scale = scale
        hidden, moved, seen, joined = 76, 20, 64, 68
        self.convc1 = nn.Conv2d(2 * _LEVELS * (2 * _RADIUS + 1) ** 2, seen, 1)
        self.convf1 = nn.Conv2d(4, 2 * moved, 7, padding=3)
        self.convf2 = nn.Conv2d(2 * moved, moved, 3, padding=1)
        self.conv = nn.Conv2d(seen + moved, joined, 3, padding=1)
        self.gru = self._two(joined + 4 + width, hidden, hidden)
        self.feat_head = self._two(hidden, hidden, width)
        self.flow_head = self._two(hidden, hidden, 4)
        self.lrelu = nn.LeakyReLU(0.1)

    def forward(self, features: Tensor, flows_8: Tensor, correlation: Tensor) -> tuple[Tensor, Tensor]:
        """The change of the features, and of the flows at the features' size."""
        small = features if self.scale == 1 else _resized(features, 1 / self.scale)
        seen = self.lrelu(self.convc1(correlation))
        moved = self.lrelu(self.convf2(self.lrelu(self.convf1(flows_8))))
        joined = self.lrelu(self.conv(torch.cat([seen, moved], 1)))
        state = self.gru(torch.cat([joined, flows_8, small], 1))
        change, flow_change = self.feat_head(state), self.flow_head(state)
        if self.scale == 1:
            return change, flow_change
        return _resized(change, self.scale), self.scale * _resized(flow_change, self.scale)

    @staticmethod
    def _two(width_in: int, hidden: int, width: int) -> nn.Sequential:
        return nn.Sequential(
            nn.Conv2d(width_in, hidden, 3, padding=1), nn.LeakyReLU(0.1), nn.Conv2d(hidden, width, 3, padding=1)
        )


class AMTNetwork(nn.Module):
    """The frame half way between two (AMT-S at t = 1/2)."""

    def __init__(self) -> None:
        super().__init__()
        c1, c2, c3, c4 = _CHANNELS
        self.feat_encoder = FeatureEncoder(BottleneckBlock, (32, 64, 96), 84, nn.InstanceNorm2d)
        self.encoder = PyramidEncoder()
        self.decoder4 = Decoder(2 * c4 + 1, 2 * c4, c3 + 4)
        self.decoder3 = Decoder(3 * c3 + 4, 3 * c3, c2 + 4)
        self.decoder2 = Decoder(3 * c2 + 4, 3 * c2, c1 + 4)
        self.decoder1 = Decoder(3 * c1 + 4, 3 * c1, 8 * _FIELDS)
        self.update4, self.update3, self.update2 = UpdateBlock(c3, 1), UpdateBlock(c2, 2), UpdateBlock(c1, 4)
        self.comb_block = nn.Sequential(
            nn.Conv2d(3 * _FIELDS, 6 * _FIELDS, 3, padding=1),
            nn.PReLU(6 * _FIELDS),
            nn.Conv2d(6 * _FIELDS, 3, 3, padding=1),
        )

    def forward(self, before: Tensor, after: Tensor) -> Tensor:
        """The frame between.

        Args:
            before: (B, 3, H, W) in [0, 1]; sides that are no multiple of 16 are padded with their border.
            after: Likewise.

        Returns:
            (B, 3, H, W) in [0, 1], float.
        """
        height, width = before.shape[-2:]
        border = _border(height, width)
        dtype = self.feat_encoder.conv1.weight.dtype
        first, second = (F.pad(x, border, mode="replicate") for x in (before, after))
        mean = torch.stack([first, second]).mean((0, 2, 3, 4))[:, None, None, None]
        first, second = (first - mean).to(dtype), (second - mean).to(dtype)
        pyramids = self._pyramids(first, second)
        firsts, seconds = self.encoder(first), self.encoder(second)

        half = torch.full_like(firsts[3][:, :1], 0.5)
        out = self.decoder4(firsts[3], seconds[3], half)
        flows, features = out[:, :4], out[:, 4:]
        flows, features = self._updated(self.update4, pyramids, flows, features)
        for decoder, update, level in ((self.decoder3, self.update3, 2), (self.decoder2, self.update2, 1)):
            out = self._decoded(decoder, features, firsts[level], seconds[level], flows)
            flows, features = out[:, :4] + 2 * _resized(flows, 2), out[:, 4:]
            flows, features = self._updated(update, pyramids, flows, features)
        fields = self._decoded(self.decoder1, features, firsts[0], seconds[0], flows)
        drawn = self._combined(first, second, fields, 2 * _resized(flows, 2), mean)
        return drawn[..., border[2] : border[2] + height, border[0] : border[0] + width]

    def _pyramids(self, first: Tensor, second: Tensor) -> tuple[CorrelationPyramid, CorrelationPyramid]:
        features = self.feat_encoder(torch.cat([first, second])).chunk(2)
        return (
            CorrelationPyramid(features[0], features[1], _LEVELS, _RADIUS),
            CorrelationPyramid(features[1], features[0], _LEVELS, _RADIUS),
        )

    def _updated(
        self,
        update: nn.Module,
        pyramids: tuple[CorrelationPyramid, CorrelationPyramid],
        flows: Tensor,
        features: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Flows and features after a look at the correlations; motion is taken to be even, so flows double."""
        scale = flows.shape[-1] // pyramids[0].levels[0].shape[-1]
        flows_8 = flows if scale == 1 else _resized(flows, 1 / scale) / scale
        here = pixel_grid(flows_8.shape[-2], flows_8.shape[-1], flows.device)
        to_first, to_second = flows_8.float().chunk(2, 1)
        seen = [pyramids[0].lookup(here + 2 * to_second), pyramids[1].lookup(here + 2 * to_first)]
        change, flow_change = update(features, flows_8, torch.cat(seen, 1).to(features.dtype))
        return flows + flow_change, features + change

    @staticmethod
    def _decoded(decoder: nn.Module, features: Tensor, first: Tensor, second: Tensor, flows: Tensor) -> Tensor:
        to_first, to_second = flows.chunk(2, 1)
        out: Tensor = decoder(features, _warped(first, to_first), _warped(second, to_second), to_first, to_second)
        return out

    def _combined(self, first: Tensor, second: Tensor, fields: Tensor, coarse: Tensor, mean: Tensor) -> Tensor:
        """Each field's blend of both warped frames; their mean, and what the last convolutions add."""
        n = _FIELDS
        to_first, to_second, mask, residual = fields.split([2 * n, 2 * n, n, 3 * n], 1)
        coarse_first, coarse_second = coarse.chunk(2, 1)
        blends = []
        for index in range(n):
            flow = slice(2 * index, 2 * index + 2)
            weight = mask[:, index : index + 1].sigmoid()
            one = _warped(first, to_first[:, flow] + coarse_first)
            two = _warped(second, to_second[:, flow] + coarse_second)
            blends.append(weight * one + (1 - weight) * two + mean + residual[:, 3 * index : 3 * index + 3])
        drawn = torch.stack(blends).mean(0) + self.comb_block(torch.cat(blends, 1).to(fields.dtype))
        return drawn.float().clamp(0, 1)


def _border(height: int, width: int) -> tuple[int, int, int, int]:
    """Left, right, top, bottom: up to a multiple of 16 and what the correlations need, split evenly."""
    sides = []
    for size in (width, height):
        lacking = max(_LEAST_PX, size + -size % _MULTIPLE_PX) - size
        sides += [lacking // 2, lacking - lacking // 2]
    return sides[0], sides[1], sides[2], sides[3]
