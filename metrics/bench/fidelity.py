"""What the codecs alone do to a clip, in numbers.

Shape legend: B batch, C latent channels, F pixel frames, S audio samples.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from harmony_lit.containers import AudioLatents, Clip, VideoLatents
from harmony_lit.sampling import decode
from harmony_lit.sampling.prompt import unit_range
from harmony_lit.system import System


@torch.no_grad()
def round_trip(system: System, clips: Sequence[Clip]) -> list[Clip]:
    """Clips of one size through both codecs and back."""
    pixels = torch.stack([unit_range(clip.video) for clip in clips]).transpose(1, 2)
    video = system.video_codec.encode(pixels)
    audio = system.audio_codec.encode(torch.stack([clip.audio for clip in clips]))
    return decode(
        system,
        VideoLatents(video, torch.full((len(clips),), video.shape[2])),
        AudioLatents(audio, torch.full((len(clips),), audio.shape[2])),
    )


def psnr_db(truth: Tensor, other: Tensor) -> float:
    """Peak signal-to-noise ratio of uint8 pictures of one shape, in dB."""
    error = (truth.float() - other.float()).square().mean().clamp_min(1e-6)
    return float(10 * torch.log10(255**2 / error))


def lsd_db(truth: Tensor, other: Tensor, floor_db: float = -60.0) -> float:
    """Log-spectral distance of two sounds (S,) in dB over 32 ms frames; what lies below ``floor_db`` counts as that."""

    def spectrum_db(samples: Tensor) -> Tensor:
        window = torch.hann_window(512)
        spectrum = torch.stft(samples, 512, 128, window=window, return_complex=True).abs() / (window.sum() / 2)
        return (20 * torch.log10(spectrum.clamp_min(1e-9))).clamp_min(floor_db)

    difference = spectrum_db(truth) - spectrum_db(other)
    return float(difference.square().mean(dim=0).sqrt().mean())
