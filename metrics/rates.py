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
    """``clip.audio`` (S,) at ``sample_rate_hz``; see ``resampled``."""
    return resampled(clip.audio, clip.sample_rate_hz, sample_rate_hz)


def resampled(waveform: Tensor, sample_rate_hz: int, wanted_hz: int) -> Tensor:
    """``waveform`` (S,) at ``wanted_hz``, float32 on the CPU, band-limited by librosa's default resampler."""
    waveform = waveform.detach().cpu().float()
    if sample_rate_hz == wanted_hz or not waveform.numel():
        return waveform
    return torch.from_numpy(librosa.resample(waveform.numpy(), orig_sr=sample_rate_hz, target_sr=wanted_hz))
