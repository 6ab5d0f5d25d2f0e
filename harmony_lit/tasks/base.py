"""Training tasks: which modality is noised, which is given clean, and whose loss counts (Sec. 3.3).

Shape legend: B batch, C latent channels, Tv latent frames, Ta audio latents, H W latent rows and columns.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor

from harmony_lit.containers import AudioLatents, Batch, Conditions, Prediction, VideoLatents
from harmony_lit.flow import add_noise, velocity
from harmony_lit.tasks.timesteps import Timesteps


class Network(Protocol):
    """What a task calls: the dual-branch model."""

    def __call__(
        self,
        video: VideoLatents | None,
        audio: AudioLatents,
        t_video: Tensor,
        t_audio: Tensor,
        conditions: Conditions,
    ) -> Prediction:
        """Velocities of both modalities."""
        ...


@dataclass(frozen=True)
class Noise:
    """The draw that all tasks of a step share: noise of both modalities and their sigmas."""

    video: Tensor | None  # (B, C, Tv, H, W)
    audio: Tensor  # (B, C, Ta)
    sigma: Timesteps


@dataclass(frozen=True)
class TaskLoss:
    """Per-sample losses (B,) of one task; a modality whose loss does not count is None."""

    video: Tensor | None
    audio: Tensor | None


class Task:
    """Base of the tasks; subclasses set which modalities are noised and learned.

    Args:
        weight: Weight of the task in the total loss (lambda).
        start_step: Optimiser step from which on the task takes part.
    """

    name: str
    learns_video: bool
    learns_audio: bool
    uses_video: bool = True

    def __init__(self, weight: float = 1.0, start_step: int = 0) -> None:
        if weight < 0:
            raise ValueError(f"tasks.{self.name}: weight must not be negative, got {weight}")
        self.weight, self.start_step = weight, start_step

    def __call__(self, network: Network, batch: Batch, noise: Noise) -> TaskLoss:
        """Runs the network on this task's inputs and returns each sample's mean squared velocity error."""
        if self.uses_video and batch.video is None:
            raise ValueError(
                f"task {self.name} needs video latents, but the data is audio only: use AudioOnly, or data with video"
            )
        zero = torch.zeros_like(noise.sigma.audio)
        t_audio = noise.sigma.audio if self.learns_audio else zero
        audio = batch.audio.with_x(add_noise(batch.audio.x, noise.audio, t_audio)) if self.learns_audio else batch.audio
        video, t_video = None, zero
        if self.uses_video and batch.video is not None:
            video = batch.video
            if self.learns_video and noise.video is not None:
                t_video = noise.sigma.video
                video = batch.video.with_x(add_noise(batch.video.x, noise.video, t_video))
        prediction = network(video, audio, t_video, t_audio, batch.conditions)
        return TaskLoss(
            video=self._video_loss(prediction, batch, noise) if self.learns_video else None,
            audio=self._audio_loss(prediction, batch, noise) if self.learns_audio else None,
        )

    @staticmethod
    def _video_loss(prediction: Prediction, batch: Batch, noise: Noise) -> Tensor:
        assert prediction.video is not None and batch.video is not None and noise.video is not None
        error = (prediction.video.float() - velocity(batch.video.x, noise.video)).square().mean(dim=(1, 3, 4))
        counts = batch.video.mask.clone()
        # The reference image is given, not predicted.
        counts[:, 0] &= ~batch.conditions.has_image
        return (error * counts).sum(dim=1) / counts.sum(dim=1).clamp(min=1)

    @staticmethod
    def _audio_loss(prediction: Prediction, batch: Batch, noise: Noise) -> Tensor:
        assert prediction.audio is not None
        error = (prediction.audio.float() - velocity(batch.audio.x, noise.audio)).square().mean(dim=1)
        mask = batch.audio.mask
        return (error * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1)


class Joint(Task):
    """Both modalities are noised and learned (L_joint)."""

    name, learns_video, learns_audio = "joint", True, True


class AudioDriven(Task):
    """The audio is clean (t_a = 0); only the video is learned."""

    name, learns_video, learns_audio = "audio_driven", True, False

    def __init__(self, weight: float = 0.1, start_step: int = 0) -> None:
        super().__init__(weight, start_step)


class VideoDriven(Task):
    """The video is clean (t_v = 0); only the audio is learned."""

    name, learns_video, learns_audio = "video_driven", False, True

    def __init__(self, weight: float = 0.3, start_step: int = 0) -> None:
        super().__init__(weight, start_step)


class AudioOnly(Task):
    """The audio branch alone, without any video: stages 1 and 2."""

    name, learns_video, learns_audio, uses_video = "audio", False, True, False

    def __call__(self, network: Network, batch: Batch, noise: Noise) -> TaskLoss:
        """As ``Task``, with the video set aside."""
        return super().__call__(network, replace(batch, video=None), replace(noise, video=None))
