"""AV-Align: do the peaks of motion and the onsets of sound coincide? Works on any clip, needs no weights.

Yariv et al., "Diverse and Aligned Audio-to-Video Generation via Text-to-Video Model Adaptation", 2023. Visual peaks are
local maxima of the mean optical flow, audible peaks are onsets; the score is intersection over union,
``m / (A + V - m)``, where ``m`` counts the audible peaks with a visual one less than a frame away.

Shape legend: F frames, H W rows and columns, S samples.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import cv2
import numpy as np
from librosa.onset import onset_strength as librosa_onset_strength
from numpy.typing import NDArray
from torch import Tensor

from harmony_lit.containers import Clip
from metrics.base import ClipMetric, Measure, Trace
from metrics.bench.cases import BenchCase
from metrics.memo import once_per_clip
from metrics.rates import resampled

SAMPLE_RATE_HZ = 22_050
"""The rate at which the paper's code listens (librosa's default); onsets move with it."""
_HOP = 512
_ABOVE_MEAN = 0.07


def flow_magnitude(video: Tensor) -> NDArray[np.float64]:
    """Mean Farneback flow in pixels per frame: (F, 3, H, W) uint8 RGB -> (F,).

    Entry i is the motion from frame i - 1 to frame i; entry 0 repeats entry 1, as in the paper's code.
    """
    frames = video.permute(0, 2, 3, 1).contiguous().numpy()
    grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames]
    if len(grey) < 2:
        return np.zeros(len(grey))
    means = []
    for before, after in pairwise(grey):
        flow = cv2.calcOpticalFlowFarneback(before, after, None, 0.5, 3, 15, 3, 5, 1.2, 0)  # type: ignore[call-overload]
        means.append(float(np.hypot(flow[..., 0], flow[..., 1]).mean()))
    return np.array([means[0], *means])


@once_per_clip
def _motion(clip: Clip) -> NDArray[np.float64]:
    """``flow_magnitude`` of a clip, found once for its score and its trace: it is most of what both cost."""
    return flow_magnitude(clip.video)


def onset_strength(audio: Tensor, sample_rate_hz: int) -> NDArray[np.float32]:
    """Librosa's onset strength of ``audio`` (S,), one value every 512 samples at 22.05 kHz."""
    samples = resampled(audio, sample_rate_hz, SAMPLE_RATE_HZ).numpy()
    return librosa_onset_strength(y=samples, sr=SAMPLE_RATE_HZ)


def visual_peaks_s(flow: NDArray[np.float64], fps: float) -> NDArray[np.float64]:
    """Times in seconds of the strict local maxima of ``flow`` (F,)."""
    inner = flow[1:-1]
    return (np.flatnonzero((inner > flow[:-2]) & (inner > flow[2:])) + 1) / fps


def audible_peaks_s(strength: NDArray[np.float32]) -> NDArray[np.float64]:
    """Times in seconds of the onsets in an onset strength."""
    return np.array(onsets(strength), dtype=np.float64) * _HOP / SAMPLE_RATE_HZ


def onsets(strength: NDArray[np.float32]) -> list[int]:
    """Indices of the onsets in an onset strength, by the rule and the settings of librosa's ``onset_detect``.

    An onset is the largest value of the last 30 ms, exceeds the mean of 100 ms on each side by 0.07 of the range, and
    is not within 30 ms of the onset before (Boeck et al. 2012). Librosa's own is compiled when it is first called and
    kept on disk, which processes that begin together have been seen to spoil for good.
    """
    if not strength.any() or not np.isfinite(strength).all():
        return []
    x = strength - strength.min()
    x = x / (x.max() + np.finfo(x.dtype).tiny)
    near, wide = int(0.03 * SAMPLE_RATE_HZ // _HOP), int(0.10 * SAMPLE_RATE_HZ // _HOP)
    found: list[int] = []
    for n in range(len(x)):
        if found and n - found[-1] <= near:
            continue
        largest = x[max(0, n - near) : n + 1].max()
        if x[n] == largest and x[n] >= x[max(0, n - wide) : n + wide + 1].mean() + _ABOVE_MEAN:
            found.append(n)
    return found


def peak_iou(audible_s: Sequence[float] | NDArray, visual_s: Sequence[float] | NDArray, fps: float) -> float:
    """Intersection over union of the two sets of peaks, in [0, 1]; NaN if there is no peak at all."""
    audible, visual = np.asarray(audible_s, dtype=float), np.asarray(visual_s, dtype=float)
    if not len(audible) + len(visual):
        return math.nan
    near = np.abs(audible[:, None] - visual[None, :]) < 1 / fps
    matched = int(near.any(axis=1).sum())
    return matched / (len(audible) + len(visual) - matched)


def av_align(clip: Clip) -> float:
    """AV-Align of one clip, in [0, 1]; NaN for a clip without any peak."""
    audible_s = audible_peaks_s(onset_strength(clip.audio, clip.sample_rate_hz))
    return peak_iou(audible_s, visual_peaks_s(_motion(clip), clip.fps), clip.fps)


class AVAlign(ClipMetric):
    """Mean AV-Align over clips; those without any peak are excluded."""

    measures = (
        Measure(
            "av_align",
            "higher",
            "IoU of librosa onsets (22.05 kHz) and local maxima of mean Farneback flow "
            "(0.5, 3, 15, 3, 5, 1.2, 0), matched within one frame (Yariv et al. 2023).",
            title="AV-Align",
            detector="librosa onsets, OpenCV Farneback",
        ),
    )

    def measure(self, clip: Clip, case: BenchCase) -> dict[str, float]:
        """See ``av_align``."""
        value = av_align(clip)
        return {} if math.isnan(value) else {"av_align": value}

    def trace(self, clip: Clip, case: BenchCase) -> Trace:
        """Flow magnitude and onset strength with their peaks."""
        flow, strength = _motion(clip), onset_strength(clip.audio, clip.sample_rate_hz)
        return Trace(
            visual=tuple(flow / max(flow.max(), 1e-9)),
            audible=tuple(strength / max(strength.max(), 1e-9)),
            visual_s=tuple(visual_peaks_s(flow, clip.fps)),
            audible_s=tuple(audible_peaks_s(strength)),
            duration_s=clip.duration_s,
        )
