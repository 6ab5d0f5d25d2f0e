"""From noise to latents: joint, audio-driven and video-driven sampling under any guidance and solver.

Shape legend: B batch, C latent channels, Tv latent frames, Ta audio latents, H W latent rows and columns.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from harmony_lit.containers import AudioLatents, Conditions, Movable, VideoLatents
from harmony_lit.guidance import Anchors, Denoiser, Guidance, GuidanceState, SyncCFG
from harmony_lit.model.text import captions_kept
from harmony_lit.sampling.solver import FlowEuler, Solver


@dataclass(frozen=True)
class SampleRequest(Movable):
    """A batch to sample.

    Attributes:
        video: Latents whose shape and lengths are wanted; the values are read only if ``video_given``.
        audio: Likewise.
        conditions: What the user asked for.
        anchors: Negative anchors of guidance.
        seeds: One seed per sample: the same sample whatever the batch.
        video_given: Video-driven audio.
        audio_given: Audio-driven video.
    """

    video: VideoLatents
    audio: AudioLatents
    conditions: Conditions
    anchors: Anchors
    seeds: Sequence[int]
    video_given: bool = False
    audio_given: bool = False

    def __post_init__(self) -> None:
        if self.video_given and self.audio_given:
            raise ValueError("give a driving sound or a driving video, not both: nothing would be left to sample")


class Sampler:
    """Integrates the flow from noise to data.

    Args:
        steps: Steps of the solver (40 in the paper).
        guidance: Guidance (SyncCFG in the paper).
        video_shift: Time shift of the video (5 in the paper).
        audio_shift: Time shift of the audio.
        solver: Solver of the flow.
        offload: Whether `harmony sample` and `bench` keep the model's layers on the CPU, from where they visit the
            accelerator one at a time: for models that do not fit, at the price of moving all weights at every call.
    """

    def __init__(
        self,
        steps: int = 40,
        guidance: Guidance | None = None,
        video_shift: float = 5.0,
        audio_shift: float = 5.0,
        solver: Solver | None = None,
        offload: bool = False,
    ) -> None:
        if steps < 1:
            raise ValueError(f"sampling.steps must be at least 1, got {steps}")
        self.steps, self.video_shift, self.audio_shift = steps, video_shift, audio_shift
        self.guidance = guidance or SyncCFG()
        self.solver = solver or FlowEuler()
        self.offload = offload

    def model_calls(self, video_given: bool = False, audio_given: bool = False) -> int:
        """Model calls of one whole sample, intervals counted."""
        shift = self.audio_shift if video_given else self.video_shift
        sigmas = self.solver.start(self.steps, shift).sigmas[:-1]
        return sum(self.guidance.calls_at(sigma, video_given, audio_given) for sigma in sigmas)

    @torch.no_grad()
    @captions_kept()
    def sample(
        self, denoise: Denoiser, request: SampleRequest, on_step: Callable[[int], None] | None = None
    ) -> tuple[VideoLatents, AudioLatents]:
        """Samples a batch of latents; what is given comes back unchanged.

        Args:
            denoise: The model.
            request: What to sample.
            on_step: Called with the number of finished steps.
        """
        video, audio = _initial(request)
        video_run = self.solver.start(self.steps, self.video_shift)
        audio_run = self.solver.start(self.steps, self.audio_shift)
        ones = torch.ones(len(request.seeds), device=audio.x.device)
        for index in range(self.steps):
            state = GuidanceState(
                video=video,
                audio=audio,
                t_video=ones * (0.0 if request.video_given else video_run.sigmas[index]),
                t_audio=ones * (0.0 if request.audio_given else audio_run.sigmas[index]),
                conditions=request.conditions,
                anchors=request.anchors,
                video_given=request.video_given,
                audio_given=request.audio_given,
            )
            velocity = self.guidance(denoise, state)
            if not request.video_given:
                assert velocity.video is not None
                video = video.with_x(video_run.step(index, velocity.video, video.x))
            if not request.audio_given:
                assert velocity.audio is not None
                audio = audio.with_x(audio_run.step(index, velocity.audio, audio.x))
            if on_step is not None:
                on_step(index + 1)
        if request.video_given:
            return video, audio
        image, has = request.conditions.reference_image, request.conditions.has_image
        first = torch.where(has[:, None, None, None], image.to(video.x.dtype), video.x[:, :, 0])
        return video.with_x(torch.cat([first[:, :, None], video.x[:, :, 1:]], dim=2)), audio


def _initial(request: SampleRequest) -> tuple[VideoLatents, AudioLatents]:
    """Noise of each sample from its own seed and at its own length, whatever the batch is padded to."""
    video, audio = request.video.x, request.audio.x
    video_noise, audio_noise = torch.zeros_like(video), torch.zeros_like(audio)
    lengths = zip(request.seeds, request.video.lengths.tolist(), request.audio.lengths.tolist(), strict=True)
    for row, (seed, frames, latents) in enumerate(lengths):
        generator = torch.Generator().manual_seed(seed)
        video_noise[row, :, :frames] = _normal((video.shape[1], frames, *video.shape[3:]), generator, video)
        audio_noise[row, :, :latents] = _normal((audio.shape[1], latents), generator, audio)
    return (
        request.video if request.video_given else request.video.with_x(video_noise),
        request.audio if request.audio_given else request.audio.with_x(audio_noise),
    )


def _normal(shape: tuple[int, ...], generator: torch.Generator, like: Tensor) -> Tensor:
    """Drawn on the CPU, so that a seed means the same noise on every device."""
    return torch.randn(shape, generator=generator).to(like)
