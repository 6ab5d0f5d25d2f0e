"""Reconstruction losses of the world codecs: small things that move, and onsets, must survive.

Shape legend: B batch, F pixel frames, H W pixel rows and columns, M frequency bins, T spectrogram frames.
"""

from __future__ import annotations

import torch
from torch import Tensor


def motion_weight(video: Tensor, gain: float) -> Tensor:
    """Weight of each pixel: 1 where it keeps its colour, up to ``1 + gain`` where it departs from its mean over time.

    A ball or a mouth covers few pixels of a frame, and a plain mean over pixels would let it fade.

    Args:
        video: (B, 3, F, H, W) in [-1, 1].
        gain: Extra weight of a pixel that departs by a quarter of the range or more.

    Returns:
        (B, 1, F, H, W), with the mean over each batch scaled to 1.
    """
    departure = (video - video.mean(dim=2, keepdim=True)).abs().amax(dim=1, keepdim=True)
    weight = 1 + gain * (2 * departure).clamp(max=1)
    return weight / weight.mean()


def video_loss(prediction: Tensor, target: Tensor, gain: float = 8.0, edge: float = 0.5, change: float = 0.5) -> Tensor:
    """Weighted L1 of pixels, plus ``edge`` times that of spatial and ``change`` times that of temporal differences.

    Args:
        prediction: (B, 3, F, H, W).
        target: The same, in [-1, 1].
        gain: Extra weight of moving pixels, see ``motion_weight``.
        edge: Weight of the differences between neighbouring pixels.
        change: Weight of the differences between neighbouring frames.
    """
    weight = motion_weight(target, gain)
    error = prediction - target
    loss = (weight * error.abs()).mean()
    loss = loss + edge * (weight[..., 1:, :] * error.diff(dim=-2).abs()).mean()
    loss = loss + edge * (weight[..., 1:] * error.diff(dim=-1).abs()).mean()
    if error.shape[2] > 1:
        loss = loss + change * (weight[:, :, 1:] * error.diff(dim=2).abs()).mean()
    return loss


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
