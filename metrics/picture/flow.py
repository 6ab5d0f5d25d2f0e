"""Optical flow: one seam, an estimator that needs nothing (Farneback) and the one that VBench uses (RAFT).

Shape legend: F frames, N pairs, H W rows and columns.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from harmony_lit.errors import UserError
from metrics.networks import Runtime, absent, name_of, shared
from metrics.picture.frames import short_side_to
from metrics.picture.raft import RAFTNetwork
from metrics.published import load_published

FARNEBACK = (0.5, 3, 15, 3, 5, 1.2, 0)
"""OpenCV's settings that AV-Align uses, too: scale and levels of the pyramid, window, iterations, neighbourhood."""


class FlowEstimator(ABC):
    """Says where each pixel of a picture went.

    Attributes:
        detector: Its name and settings, for the protocol.
        checkpoint: Its weights, as ``metrics.networks.name_of`` names them; empty if it has none.
        batch_size: Pairs that are given to it at a time.
    """

    detector: str
    checkpoint: str = ""
    batch_size: int = 8

    def missing(self) -> str | None:
        """What it needs and does not have; None if it can run."""
        return None

    @abstractmethod
    def estimate(self, before: Tensor, after: Tensor) -> Tensor:
        """The flow between pictures.

        Args:
            before: (N, 3, H, W) uint8, RGB.
            after: Likewise.

        Returns:
            (N, 2, H, W) float, on the CPU, in pixels, column first: what is at x in ``before`` is at x + flow.
        """

    def between_neighbours(self, frames: Tensor) -> Iterator[Tensor]:
        """The flow from each of ``frames`` (F, 3, H, W) to the next, one (2, H, W) after the other."""
        for start in range(0, len(frames) - 1, self.batch_size):
            part = frames[start : start + self.batch_size + 1]
            yield from self.estimate(part[:-1], part[1:])


class Farneback(FlowEstimator):
    """OpenCV's polynomial expansion (Farneback 2003): no weights, the same on every machine.

    It follows large motion and bare surfaces less well than a network, so its numbers are a protocol of their own.

    Args:
        short_side: Pictures larger than this are made smaller first, which costs a quarter for each halving and lets
            its three levels reach twice as far; None never does.

    Raises:
        UserError: If ``short_side`` is below 16.
    """

    def __init__(self, short_side: int | None = 256) -> None:
        if short_side is not None and short_side < 16:
            raise UserError(f"short_side must be at least 16 pixels, or null, not {short_side}")
        self.short_side = short_side
        size = "full size" if short_side is None else f"short side at most {short_side}"
        self.detector = f"Farneback {FARNEBACK} (OpenCV {cv2.__version__}), {size}"

    def estimate(self, before: Tensor, after: Tensor) -> Tensor:
        """See the base."""
        return torch.from_numpy(np.stack([self._flow(*pair) for pair in zip(before, after, strict=True)]))

    def _flow(self, before: Tensor, after: Tensor) -> NDArray[np.float32]:
        height, width = before.shape[-2:]
        size = height, width
        if self.short_side is not None and min(size) > self.short_side:
            size = short_side_to(self.short_side, height, width)
        small = [_grey(picture, size) for picture in (before, after)]
        flow = cv2.calcOpticalFlowFarneback(*small, None, *FARNEBACK)  # type: ignore[call-overload]
        if size != (height, width):
            flow *= np.array([width / size[1], height / size[0]], np.float32)
            flow = cv2.resize(flow, (width, height), interpolation=cv2.INTER_LINEAR)
        return flow.transpose(2, 0, 1)


class Raft(FlowEstimator):
    """RAFT with its authors' weights, as in VBench.

    Args:
        weights: Path of ``raft-things.pth``.
        iterations: Steps of refinement; VBench takes 20.
        batch_size: Pairs at a time; at 768 x 480 each needs about 0.5 GB.
        runtime: Where and how precisely it runs.
    """

    def __init__(
        self,
        weights: str | None = None,
        iterations: int = 20,
        batch_size: int = 1,
        runtime: Runtime = Runtime(),
    ) -> None:
        self.weights, self.iterations, self.batch_size, self.runtime = weights, iterations, batch_size, runtime
        self.detector = f"RAFT, {iterations} iterations, {runtime.precision}"
        self.checkpoint = name_of(weights)

    def missing(self) -> str | None:
        """See the base."""
        return absent(self.weights, "RAFT's weights (raft-things.pth of princeton-vl/RAFT)")

    @torch.inference_mode()
    def estimate(self, before: Tensor, after: Tensor) -> Tensor:
        """See the base."""
        network = shared(_load_raft, self.weights, self.runtime)
        device = self.runtime.torch_device
        return network(before.to(device).float(), after.to(device).float(), self.iterations).cpu()


def _load_raft(weights: str, runtime: Runtime) -> RAFTNetwork:
    return load_published(RAFTNetwork(), weights, "princeton-vl", "BSD-3-Clause", runtime, prefix="module.")


def interleaved(picture: Tensor) -> NDArray[np.uint8]:
    """(3, H, W) uint8 as OpenCV wants it, (H, W, 3); several times as fast as transposing."""
    return cv2.merge([channel.numpy() for channel in picture.contiguous()])  # type: ignore[return-value]


def _grey(picture: Tensor, size: tuple[int, int]) -> NDArray[np.uint8]:
    grey = cv2.cvtColor(interleaved(picture), cv2.COLOR_RGB2GRAY)
    if grey.shape != size:
        grey = cv2.resize(grey, (size[1], size[0]), interpolation=cv2.INTER_AREA)
    return grey  # type: ignore[return-value]
