"""The means to make clips for a bench: a system, a model and a sampler, and cases turned into prompts for them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from data.media import read_audio, read_clip
from harmony_lit.containers import Prediction
from harmony_lit.guidance import Denoiser
from harmony_lit.sampling import Prompt, Sampler
from harmony_lit.system import System
from metrics.bench.cases import BenchCase


def autocast(denoise: Denoiser, precision: str, device: str) -> Denoiser:
    """``denoise`` in the precision that Lightning's ``precision`` trained in: bf16 autocast, or fp32.

    On CPU, bf16 matrix products run several times faster than fp32.
    """
    if "bf16" not in precision:
        return denoise

    def cast(*inputs: Any) -> Prediction:
        with torch.autocast(torch.device(device).type, torch.bfloat16):
            return denoise(*inputs)

    return cast


@dataclass(frozen=True)
class Studio:
    """The means to make clips.

    Attributes:
        system: Geometry, codecs and encoders.
        denoise: The model.
        sampler: Steps, shifts and solver; a variant may bring its own guidance.
        weights: Digest of the model's weights.
        frames: Pixel frames of a clip.
        height: Rows of a frame.
        width: Columns of a frame.
        batch_size: Clips sampled at once.
        device: Where the model runs.
    """

    system: System
    denoise: Denoiser
    sampler: Sampler
    weights: str = ""
    frames: int = 61
    height: int = 64
    width: int = 64
    batch_size: int = 16
    device: str = "cpu"

    def prompt(self, case: BenchCase) -> Prompt:
        """What a case asks for, its files read; a reference image is scaled and cropped to the clip's size."""
        image = None
        if case.reference_image:
            size = (self.height, self.width)
            fps = self.system.geometry.fps
            image = read_clip(case.reference_image, fps, size=size, require_audio=False).video[0]
        reference = None
        if case.reference_audio:
            reference = read_audio(case.reference_audio, self.system.geometry.sample_rate_hz)
        return Prompt(
            video_caption=case.video_caption,
            audio_caption=case.audio_caption,
            transcript=case.transcript,
            image=image,
            reference_audio=reference,
            seed=case.seed,
            frames=self.frames,
            height=self.height,
            width=self.width,
        )
