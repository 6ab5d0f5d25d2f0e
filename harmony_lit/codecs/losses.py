"""Reconstruction losses of the world codecs: small things that move, and onsets, must survive.

Shape legend: B batch, F pixel frames (in shapes), H W pixel rows and columns, M frequency bins, T spectrogram frames.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def motion_weight(video: Tensor, gain: float) -> Tensor:
    """Weight of each pixel: 1 where it keeps its colour, up to ``1 + gain`` before and after it changes.

    A ball or a mouth covers few pixels of a frame, and a plain mean over pixels would let it fade; the four frames of
    a latent would turn into their average.

    Args:
        video: (B, 3, F, H, W) in [-1, 1].
        gain: Extra weight of a pixel that changes by a quarter of the range or more.

    Returns:
        (B, 1, F, H, W), scaled to a mean of 1 over the batch.
    """
    change = gain * (2 * video.diff(dim=2).abs().amax(dim=1, keepdim=True)).clamp(max=1)
    weight = 1 + torch.maximum(F.pad(change, (0, 0, 0, 0, 1, 0)), F.pad(change, (0, 0, 0, 0, 0, 1)))
    return weight / weight.mean()


def video_loss(prediction: Tensor, target: Tensor, gain: float = 16.0, absolute: float = 0.3) -> Tensor:
    """Weighted squared error, plus ``absolute`` times the weighted absolute one.

    The square minds what is far off, a star where none should be; the absolute error sharpens what is nearly right.

    Args:
        prediction: (B, 3, F, H, W).
        target: The same, in [-1, 1].
        gain: Extra weight of pixels that change, see ``motion_weight``.
        absolute: Weight of the absolute error.
    """
    with torch.no_grad():
        weight = motion_weight(target, gain)
    error = prediction - target
    return (weight * (error.square() + absolute * error.abs())).mean()


def spectral_loss(prediction: Tensor, target: Tensor, onset: float = 0.5) -> Tensor:
    """L1 of log-magnitudes plus ``onset`` times that of their change over time, with more weight where it is loud.

    Args:
        prediction: (B, M, T) log-magnitudes.
        target: The same; the quietest value of the batch counts as silence.
        onset: Weight of the differences between neighbouring frames, which keep attacks sharp.
    """
    loudness = target - target.amin()
    weight = 1 + loudness / loudness.mean().clamp_min(1e-3)
    error = prediction - target
    return (weight * error.abs()).mean() + onset * torch.mean(weight[..., 1:] * error.diff(dim=-1).abs())
