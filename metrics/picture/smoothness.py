"""MS: can every second frame be told from its neighbours? VBench's motion smoothness.

Huang et al., "VBench", CVPR 2024: an interpolator draws the dropped frames anew, and the mean absolute error e, on the
scale of 0 to 255, makes the score 1 - e / 255. A clip in which nothing moves scores 1.

Shape legend: F frames, H W rows and columns.
"""

from __future__ import annotations

import cv2
from torch import Tensor

from harmony_lit.containers import Clip
from metrics.base import ClipMetric, Measure, Score
from metrics.bench.cases import BenchCase
from metrics.picture.interpolation import FlowInterpolator, FrameInterpolator


def motion_smoothness(video: Tensor, interpolator: FrameInterpolator) -> float:
    """MS of (F, 3, H, W) uint8, in [0, 1], by the frames 1, 3, 5 ... that have a neighbour on both sides.

    The mean is taken over these frames, pixels and channels.
    """
    kept, dropped = video[::2], video[1::2]
    before, after = kept[:-1], kept[1:]
    error = 0.0
    for start in range(0, len(before), interpolator.batch_size):
        part = slice(start, start + interpolator.batch_size)
        drawn = interpolator.between(before[part], after[part])
        error += sum(_difference(*pair) for pair in zip(drawn, dropped[part], strict=False))
    return 1 - error / len(before) / 255


def _difference(drawn: Tensor, true: Tensor) -> float:
    """Mean absolute difference of two (3, H, W) uint8."""
    return cv2.norm(drawn.contiguous().numpy(), true.contiguous().numpy(), cv2.NORM_L1) / true.numel()


class MotionSmoothness(ClipMetric):
    """MS.

    Args:
        interpolator: Who draws the dropped frames: ``FlowInterpolator``, which needs nothing, by default; ``Amt`` for
            VBench's protocol.
    """

    def __init__(self, interpolator: FrameInterpolator | None = None) -> None:
        self.interpolator = FlowInterpolator() if interpolator is None else interpolator
        self.measures = (
            Measure(
                "ms",
                "higher",
                "1 - mean absolute error / 255 of every second frame, drawn anew from its neighbours "
                "(VBench's motion smoothness).",
                digits=3,
                title="MS",
                detector=self.interpolator.detector,
                checkpoint=self.interpolator.checkpoint,
            ),
        )
        super().__init__()

    def missing(self) -> str | None:
        """What the interpolator needs."""
        return self.interpolator.missing()

    def measure(self, clip: Clip, case: BenchCase) -> dict[str, float | Score]:
        """See ``motion_smoothness``; a clip of fewer than three frames is excluded."""
        if len(clip.video) < 3:
            return {"ms": Score.none("fewer than three frames")}
        return {"ms": motion_smoothness(clip.video, self.interpolator)}
