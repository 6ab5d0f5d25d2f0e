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
    """The draw that all tasks of a step share.

    Attributes:
        video: Noise of the video, (B, C, Tv, H, W).
        audio: Noise of the audio, (B, C, Ta).
        sigma: Sigmas of both, (B,) each.
        anchored: Uniform in [0, 1), (B,): a driven task gives the anchor instead of the driver to the samples below its
            share. None gives every driver as it is, as in validation.
    """

    video: Tensor | None
    audio: Tensor
    sigma: Timesteps
    anchored: Tensor | None = None


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
        video, t_video = self.video_input(batch, noise)
        audio, t_audio = self.audio_input(batch, noise)
        prediction = network(video, audio, t_video, t_audio, batch.conditions)
        return TaskLoss(
            video=self._video_loss(prediction, batch, noise) if self.learns_video else None,
            audio=self._audio_loss(prediction, batch, noise) if self.learns_audio else None,
        )

    def video_input(self, batch: Batch, noise: Noise) -> tuple[VideoLatents | None, Tensor]:
        """The video that the network sees, and its sigma (B,): noised where it is learned, else clean at 0."""
        if not self.uses_video or not self.learns_video or batch.video is None or noise.video is None:
            return batch.video if self.uses_video else None, torch.zeros_like(noise.sigma.video)
        sigma = noise.sigma.video
        return batch.video.with_x(add_noise(batch.video.x, noise.video, sigma)), sigma

    def audio_input(self, batch: Batch, noise: Noise) -> tuple[AudioLatents, Tensor]:
        """Likewise for the audio."""
        if not self.learns_audio:
            return batch.audio, torch.zeros_like(noise.sigma.audio)
        return batch.audio.with_x(add_noise(batch.audio.x, noise.audio, noise.sigma.audio)), noise.sigma.audio

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
    """The audio is clean (t_a = 0); only the video is learned.

    Args:
        weight: lambda_v; 0.1 in the paper.
        start_step: As for every task.
        mute: Share of samples whose audio is replaced by silence while the video to be learned stays. It teaches the
            model what SyncCFG's negative anchor asks of it: the video when the sound says nothing. 0 in the paper.
    """

    name, learns_video, learns_audio = "audio_driven", True, False

    def __init__(self, weight: float = 0.1, start_step: int = 0, mute: float = 0.0) -> None:
        super().__init__(weight, start_step)
        self.mute = _share(mute, "mute")

    def audio_input(self, batch: Batch, noise: Noise) -> tuple[AudioLatents, Tensor]:
        """Clean audio, or silence for the ``mute`` share of the samples."""
        audio, t_audio = super().audio_input(batch, noise)
        if self.mute > 0 and noise.anchored is not None:
            if batch.silence is None:
                raise ValueError(
                    "task audio_driven: mute needs data that brings the encoding of silence (Batch.silence)"
                )
            chosen = (noise.anchored < self.mute)[:, None, None]
            audio = audio.with_x(torch.where(chosen, batch.silence.to(audio.x), audio.x))
        return audio, t_audio


class VideoDriven(Task):
    """The video is clean (t_v = 0); only the audio is learned.

    Args:
        weight: lambda_a; 0.3 in the paper.
        start_step: As for every task.
        static: Share of samples whose video is replaced by its first latent frame repeated while the audio to be
            learned stays: SyncCFG's other anchor. 0 in the paper.
    """

    name, learns_video, learns_audio = "video_driven", False, True

    def __init__(self, weight: float = 0.3, start_step: int = 0, static: float = 0.0) -> None:
        super().__init__(weight, start_step)
        self.static = _share(static, "static")

    def video_input(self, batch: Batch, noise: Noise) -> tuple[VideoLatents | None, Tensor]:
        """Clean video, or a still for the ``static`` share of the samples."""
        video, t_video = super().video_input(batch, noise)
        if self.static > 0 and noise.anchored is not None and video is not None:
            chosen = (noise.anchored < self.static)[:, None, None, None, None]
            video = video.with_x(torch.where(chosen, video.x[:, :, :1], video.x))
        return video, t_video


class AudioOnly(Task):
    """The audio branch alone, without any video: stages 1 and 2."""

    name, learns_video, learns_audio, uses_video = "audio", False, True, False

    def __call__(self, network: Network, batch: Batch, noise: Noise) -> TaskLoss:
        """As ``Task``, with the video set aside."""
        return super().__call__(network, replace(batch, video=None), replace(noise, video=None))


def _share(value: float, name: str) -> float:
    if not 0 <= value <= 1:
        raise ValueError(f"tasks: {name} is a share of the samples, from 0 to 1, not {value}")
    return value
