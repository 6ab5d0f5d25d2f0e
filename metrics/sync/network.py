"""SyncNet: five frames of a face and a fifth of a second of sound as points that lie near each other if they belong so.

Built as it is by default it has the 13,631,616 parameters and the names of the published ``syncnet_v2.model``; the
arguments make smaller ones for other pictures, of the same layers under the same names.

Shape legend: B clips, F frames, N windows of five frames, T frames of cepstra (four to a frame of the picture),
D feature width.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from harmony_lit.errors import UserError

WINDOW_FRAMES = 5
CEPSTRA_PER_FRAME = 4
WINDOW_CEPSTRA = CEPSTRA_PER_FRAME * WINDOW_FRAMES
_SMALLEST = 51  # pixels, of which one is left at the end


class SyncNet(nn.Module):
    """Two towers of convolutions, one for the picture and one for the sound, each with a head of two layers.

    Args:
        size: Rows and columns of a picture in pixels; the last lip convolution covers what is left of them.
        lip_widths: Channels after each of the six convolutions of the picture.
        audio_widths: Channels after each of the six convolutions of the sound.
        features: Width D of a feature.

    Raises:
        UserError: If a tower has not six widths, or the picture is too small.
    """

    def __init__(
        self,
        size: int = 224,
        lip_widths: Sequence[int] = (96, 256, 256, 256, 256, 512),
        audio_widths: Sequence[int] = (64, 192, 384, 256, 256, 512),
        features: int = 1024,
    ) -> None:
        super().__init__()
        if size < _SMALLEST:
            raise UserError(f"SyncNet's pictures have at least {_SMALLEST} pixels a side, not {size}")
        for name, widths in (("lip_widths", lip_widths), ("audio_widths", audio_widths)):
            if len(widths) != 6:
                raise UserError(f"SyncNet's {name} are the channels of six convolutions, not of {len(widths)}")
        self.size = size
        self.settings: dict[str, Any] = {
            "size": size,
            "lip_widths": list(lip_widths),
            "audio_widths": list(audio_widths),
            "features": features,
        }
        self.netcnnaud = _audio_tower(audio_widths)
        self.netfcaud = _head(audio_widths[-1], features)
        self.netfclip = _head(lip_widths[-1], features)
        self.netcnnlip = _lip_tower(lip_widths, size)
        # Otherwise pooling takes longer on a CPU than the convolutions. (The annotations of torch forget the argument.)
        self.netcnnaud.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.netcnnlip.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]

    def lip_features(self, video: Tensor) -> Tensor:
        """Features of all windows of five successive frames.

        Only the first layer spans time, so that running it along the clip gives what windows cut out of it would.

        Args:
            video: (B, 3, F, size, size) BGR, 0 to 255.

        Returns:
            (B, F - 4, D).
        """
        video = video.contiguous(memory_format=torch.channels_last_3d)
        found = self.netcnnlip(video).flatten(2).transpose(1, 2)
        return self.netfclip(found.flatten(0, 1)).unflatten(0, found.shape[:2])

    def audio_features(self, cepstra: Tensor) -> Tensor:
        """Features of all windows of 20 cepstra, one every four: (B, 13, T) -> (B, (T - 20) // 4 + 1, D)."""
        windows = cepstra.unfold(2, WINDOW_CEPSTRA, CEPSTRA_PER_FRAME).transpose(1, 2)
        found = self.netcnnaud(windows.flatten(0, 1)[:, None]).flatten(1)
        return self.netfcaud(found).unflatten(0, windows.shape[:2])

    def fold(self) -> None:
        """Works each normalisation into the convolution before it: the same features sooner, and no more training."""
        for tower in (self.netcnnaud, self.netcnnlip):
            for place, layer in enumerate(tower):
                before = tower[place - 1]
                if isinstance(layer, nn.BatchNorm2d | nn.BatchNorm3d) and isinstance(before, nn.Conv2d | nn.Conv3d):
                    tower[place - 1] = fuse_conv_bn_eval(before, layer)
                    tower[place] = nn.Identity()


def _audio_tower(widths: Sequence[int]) -> nn.Sequential:
    a, b, c, d, e, f = widths
    return nn.Sequential(
        *_conv(nn.Conv2d(1, a, 3, padding=1)),
        nn.Identity(),  # published as a pooling of one, which does nothing but take a number
        *_conv(nn.Conv2d(a, b, 3, padding=1)),
        nn.MaxPool2d(3, stride=(1, 2)),
        *_conv(nn.Conv2d(b, c, 3, padding=1)),
        *_conv(nn.Conv2d(c, d, 3, padding=1)),
        *_conv(nn.Conv2d(d, e, 3, padding=1)),
        nn.MaxPool2d(3, stride=2),
        *_conv(nn.Conv2d(e, f, (5, 4))),
    )


def _lip_tower(widths: Sequence[int], size: int) -> nn.Sequential:
    a, b, c, d, e, f = widths
    left = _after(size, (7, 2), (3, 2), (5, 2, 1), (3, 2, 1), (3, 2))
    return nn.Sequential(
        *_conv(nn.Conv3d(3, a, (WINDOW_FRAMES, 7, 7), stride=(1, 2, 2))),
        nn.MaxPool3d((1, 3, 3), stride=(1, 2, 2)),
        *_conv(nn.Conv3d(a, b, (1, 5, 5), stride=(1, 2, 2), padding=(0, 1, 1))),
        nn.MaxPool3d((1, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1)),
        *_conv(nn.Conv3d(b, c, (1, 3, 3), padding=(0, 1, 1))),
        *_conv(nn.Conv3d(c, d, (1, 3, 3), padding=(0, 1, 1))),
        *_conv(nn.Conv3d(d, e, (1, 3, 3), padding=(0, 1, 1))),
        nn.MaxPool3d((1, 3, 3), stride=(1, 2, 2)),
        *_conv(nn.Conv3d(e, f, (1, left, left))),
    )


def _conv(layer: nn.Conv2d | nn.Conv3d) -> tuple[nn.Module, nn.Module, nn.Module]:
    """A convolution with its normalisation and rectifier."""
    norm = nn.BatchNorm2d if isinstance(layer, nn.Conv2d) else nn.BatchNorm3d
    return layer, norm(layer.out_channels), nn.ReLU(inplace=True)


def _head(width: int, features: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Linear(width, features))


def _after(length: int, *layers: Sequence[int]) -> int:
    """Length of an axis after layers of (kernel, stride) or (kernel, stride, padding)."""
    for kernel, stride, *padding in layers:
        length = (length + 2 * sum(padding) - kernel) // stride + 1
    return length
