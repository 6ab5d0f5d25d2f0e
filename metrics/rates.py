"""A clip's picture and sound at the rates that a network was trained with.

Shape legend: F frames, S samples.
"""

from __future__ import annotations

import librosa
import torch
from torch import Tensor

from harmony_lit.containers import Clip


def frames_at(clip: Clip, fps: float) -> Tensor:
    """``clip.video`` at ``fps``: frame i is the stored frame whose time is nearest to i / fps."""
    stored = clip.video.shape[0]
    if clip.fps == fps or not stored:
        return clip.video
    wanted = torch.arange(max(1, round(stored * fps / clip.fps)), dtype=torch.float64)
    nearest = (wanted * clip.fps / fps).round().long().clamp(max=stored - 1)
    return clip.video[nearest.to(clip.video.device)]


def samples_at(clip: Clip, sample_rate_hz: int) -> Tensor:
    """``clip.audio`` (S,) on the CPU at ``sample_rate_hz``, band-limited by librosa's default resampler."""
    audio = clip.audio.detach().cpu().float()
    if clip.sample_rate_hz == sample_rate_hz or not audio.numel():
        return audio
    samples = librosa.resample(audio.numpy(), orig_sr=clip.sample_rate_hz, target_sr=sample_rate_hz)
    return torch.from_numpy(samples)
