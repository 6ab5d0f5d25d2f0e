"""What generated clips suffer from and sync does not: SyncNets are trained through it, so that they do not judge it.

Shape legend: F frames, H W rows and columns, S samples.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Generator, Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class Distortion:
    """Random changes of a cut; each has a strength of its own, drawn evenly from nothing to the most.

    Attributes:
        light: Most that brightness and contrast change, as a share of the full range.
        grain: Largest deviation of the noise on pixels, in levels of 255.
        blur: Chance that a picture is reduced to half its size and enlarged, and chance that each frame is mixed with
            the two beside it.
        gain_db: Most that the sound is louder or softer.
        floor_db: Loudest noise under the sound, relative to full scale; the softest is 50 dB below.
    """

    light: float = 0.1
    grain: float = 6.0
    blur: float = 0.4
    gain_db: float = 6.0
    floor_db: float = -45.0

    def picture(self, video: Tensor, generator: Generator) -> Tensor:
        """(3, F, H, W) uint8 -> the same, distorted."""
        brightness, contrast, grain, *chances = torch.rand(5, generator=generator).tolist()
        x = video.float()
        if chances[0] < self.blur:
            small = F.avg_pool2d(x, 2)
            x = F.interpolate(small, size=x.shape[-2:], mode="bilinear", align_corners=False)
        if chances[1] < self.blur:
            x = F.avg_pool3d(F.pad(x, (0, 0, 0, 0, 1, 1), mode="replicate")[None], (3, 1, 1), stride=1)[0]
        x = (1 + self.light * (2 * contrast - 1)) * x + 255 * self.light * (2 * brightness - 1)
        noise = torch.randn(x.shape[1:], generator=generator)  # the same in all colours, which is a third of the work
        return (x + self.grain * grain * noise).round().clamp(0, 255).to(torch.uint8)

    def sound(self, audio: Tensor, generator: Generator) -> Tensor:
        """(S,) in [-1, 1] -> the same, distorted."""
        gain, floor = torch.rand(2, generator=generator).tolist()
        louder = 10 ** (self.gain_db * (2 * gain - 1) / 20)
        level = 10 ** ((self.floor_db - 50 * floor) / 20)
        return (louder * audio + level * torch.randn(audio.shape, generator=generator)).clamp(-1, 1)
