"""DD: is there motion in a clip? Strong optical flow in enough of its frames, after VBench's dynamic degree.

Huang et al., "VBench: Comprehensive Benchmark Suite for Video Generative Models", CVPR 2024. The bench's number is the
share of clips that move.

Shape legend: F frames, P pairs of neighbouring frames, H W rows and columns.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from harmony_lit.containers import Clip
from metrics.base import ClipMetric, Measure, Score
from metrics.bench.cases import BenchCase
from metrics.picture.flow import Farneback, FlowEstimator

FPS = 8.0
_STRONGEST = 0.05
_THRESHOLD_PX, _AT_SHORT_SIDE = 6.0, 256.0


def sampled(video: Tensor, fps: float, target_fps: float = FPS) -> Tensor:
    """Frames about ``target_fps`` apart, (F, 3, H, W) to (F', 3, H, W): every n-th from the first on.

    n is the nearest whole number, so 25 frames per second become 8.33, 24 become 8, and 10 stay.
    """
    return video[:: max(1, round(fps / target_fps))]


def strongest(flow: Tensor) -> float:
    """Mean length of the strongest twentieth of a flow (2, H, W), in pixels."""
    length = torch.linalg.vector_norm(flow.float(), dim=0).flatten()
    return float(length.topk(max(1, int(length.numel() * _STRONGEST))).values.mean())


def moves(strengths: Sequence[float], frames: int, short_side: int) -> bool:
    """Whether a clip moves: at least a quarter as many pairs as frames exceed 6 pixels per 256 of the short side.

    Args:
        strengths: ``strongest`` of each pair, in pixels; at most one fewer than the frames.
        frames: Frames that the pairs were taken from. The quarter is rounded, to even where it lies halfway, as in
            VBench; unlike there it is at least 1, so that two frames of a still do not count as moving.
        short_side: Of the frames, in pixels.
    """
    threshold = _THRESHOLD_PX * short_side / _AT_SHORT_SIDE
    return sum(strength > threshold for strength in strengths) >= max(1, round(frames / 4))


class DynamicDegree(ClipMetric):
    """DD, and how strong the motion is.

    ``dd`` is 1 for a clip that moves and 0 for one that does not; ``flow`` is the mean over pairs of frames of the
    strongest twentieth of the flow, in percent of the short side. DD is 1 where ``flow`` exceeds 2.34 % in a quarter
    of the pairs.

    Args:
        flow: Who estimates the flow: ``Farneback``, which needs nothing, by default; ``Raft`` for VBench's protocol.
    """

    def __init__(self, flow: FlowEstimator | None = None) -> None:
        self.flow = Farneback() if flow is None else flow
        protocol = f"strongest 5 % of the flow between frames {FPS:.0f} per second apart"
        self.measures = (
            Measure(
                "dd",
                "higher",
                f"Share of clips where the mean of the {protocol} exceeds 6 px per 256 px of the short side in at "
                "least a quarter of the pairs (VBench's dynamic degree).",
                title="DD",
                detector=self.flow.detector,
                checkpoint=self.flow.checkpoint,
            ),
            Measure(
                "flow",
                "higher",
                f"Mean over pairs of the mean of the {protocol}, in percent of the short side.",
                unit="%",
                title="Flow",
                detector=self.flow.detector,
                checkpoint=self.flow.checkpoint,
            ),
        )
        super().__init__()

    def missing(self) -> str | None:
        """What the estimator needs."""
        return self.flow.missing()

    def measure(self, clip: Clip, case: BenchCase) -> dict[str, float | Score]:
        """See the class; a clip with fewer than two frames at 8 per second is excluded."""
        frames = sampled(clip.video, clip.fps)
        if len(frames) < 2:
            none = Score.none("shorter than two frames at 8 per second")
            return {"dd": none, "flow": none}
        short_side = min(frames.shape[-2:])
        strengths = [strongest(flow) for flow in self.flow.between_neighbours(frames)]
        return {
            "dd": float(moves(strengths, len(frames), short_side)),
            "flow": 100 * sum(strengths) / len(strengths) / short_side,
        }
