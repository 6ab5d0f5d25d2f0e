"""The frame half way between two others: one seam, along optical flow (offline) or by AMT, as in VBench.

Shape legend: N pairs, H W rows and columns.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from metrics.networks import Runtime, absent, name_of, shared
from metrics.picture.amt import AMTNetwork
from metrics.picture.flow import Farneback, FlowEstimator, interleaved
from metrics.published import load_published


class FrameInterpolator(ABC):
    """Guesses the frame between two.

    Attributes:
        detector: Its name and settings, for the protocol.
        checkpoint: Its weights; empty if it has none.
        batch_size: Pairs that are given to it at a time.
    """

    detector: str
    checkpoint: str = ""
    batch_size: int = 8

    def missing(self) -> str | None:
        """What it needs and does not have; None if it can run."""
        return None

    @abstractmethod
    def between(self, before: Tensor, after: Tensor) -> Tensor:
        """The frame half way, (N, 3, H, W) uint8 on the CPU, from two of the same shape, RGB."""


class FlowInterpolator(FrameInterpolator):
    """Both frames drawn half way along the flow between them, and averaged.

    The flow from the middle to either frame is put together from the flows in both directions, as in Jiang et al.,
    "Super SloMo", 2018, equation 4; nothing is done about what is hidden in one of the frames.

    Args:
        flow: Who estimates the flow; by default ``Farneback`` at a short side of 128, which errs as little as at 256
            (in the fourth decimal of MS on real clips) for a third of the time.
    """

    def __init__(self, flow: FlowEstimator | None = None) -> None:
        self.flow = Farneback(128) if flow is None else flow
        self.detector = f"mean of both frames warped half way along the flow of {self.flow.detector}"
        self.checkpoint = self.flow.checkpoint
        self.batch_size = self.flow.batch_size

    def missing(self) -> str | None:
        """See the base."""
        return self.flow.missing()

    def between(self, before: Tensor, after: Tensor) -> Tensor:
        """See the base."""
        forward, backward = self.flow.estimate(before, after), self.flow.estimate(after, before)
        # t = 1/2: the flow from the middle to `before` is this, to `after` its opposite.
        to_before = 0.25 * (backward - forward)
        middle = [
            cv2.addWeighted(_warped(first, flow), 0.5, _warped(second, -flow), 0.5, 0)
            for first, second, flow in zip(before, after, to_before.numpy(), strict=True)
        ]
        return torch.from_numpy(np.stack(middle)).permute(0, 3, 1, 2)


class Amt(FrameInterpolator):
    """AMT-S, the interpolator of VBench. Its weights are for non-commercial use (CC BY-NC 4.0).

    Args:
        weights: Path of ``amt-s.pth``.
        batch_size: Pairs at a time.
        runtime: Where and how precisely it runs.
    """

    def __init__(
        self,
        weights: str | None = None,
        batch_size: int = 1,
        runtime: Runtime = Runtime(),
    ) -> None:
        self.weights, self.batch_size, self.runtime = weights, batch_size, runtime
        self.detector = f"AMT-S, {runtime.precision}"
        self.checkpoint = name_of(weights)

    def missing(self) -> str | None:
        """See the base."""
        return absent(self.weights, "AMT-S' weights (amt-s.pth of MCG-NKU/AMT, non-commercial)")

    @torch.inference_mode()
    def between(self, before: Tensor, after: Tensor) -> Tensor:
        """See the base; values are cut to whole numbers, not rounded, as in VBench."""
        network = shared(_load_amt, self.weights, self.runtime)
        device = self.runtime.torch_device
        middle = network(before.to(device).float() / 255, after.to(device).float() / 255)
        return (255 * middle).to(torch.uint8).cpu()


def _load_amt(weights: str, runtime: Runtime) -> AMTNetwork:
    return load_published(AMTNetwork(), weights, "MCG-NKU", "CC BY-NC 4.0 (non-commercial)", runtime)


def _warped(picture: Tensor, flow: NDArray[np.float32]) -> NDArray[np.uint8]:
    """(3, H, W) uint8 and (2, H, W) to (H, W, 3): the values of the picture at x + flow."""
    height, width = picture.shape[-2:]
    columns = flow[0] + np.arange(width, dtype=np.float32)
    rows = flow[1] + np.arange(height, dtype=np.float32)[:, None]
    return cv2.remap(  # type: ignore[return-value]
        interleaved(picture), columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
