"""One seam for every guidance: given the denoiser and the state of a step, the velocities to follow.

Shape legend: B batch, C latent channels, Tv latent frames, Ta audio latents, H W latent rows and columns.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from harmony_lit.containers import AudioLatents, Conditions, Movable, Prediction, VideoLatents

Denoiser = Callable[[VideoLatents, AudioLatents, Tensor, Tensor, Conditions], Prediction]
"""(video, audio, t_video (B,), t_audio (B,), conditions) -> velocities."""


@dataclass(frozen=True)
class Anchors(Movable):
    """What the negative branches are given in place of the real thing.

    Attributes:
        mute: Encoding of digital silence, (B, C, Ta).
        static: Encoding of the reference image repeated, (B, C, Tv, H, W); read only where there is an image.
        empty: The conditions with no text, or with the negative prompts of the system's ``prompting``.
    """

    mute: AudioLatents
    static: VideoLatents
    empty: Conditions


@dataclass(frozen=True)
class GuidanceState:
    """One step of sampling.

    Attributes:
        video: Current latents; clean if ``video_given``.
        audio: Current latents; clean if ``audio_given``.
        t_video: Sigma of the video, (B,); 0 where given.
        t_audio: Sigma of the audio, (B,); 0 where given.
        conditions: What the user asked for.
        anchors: Negative anchors.
        video_given: Video-driven audio: the video is the user's.
        audio_given: Audio-driven video: the audio is the user's.
    """

    video: VideoLatents
    audio: AudioLatents
    t_video: Tensor
    t_audio: Tensor
    conditions: Conditions
    anchors: Anchors
    video_given: bool = False
    audio_given: bool = False

    @property
    def progress(self) -> float:
        """The larger sigma of the step, in [0, 1]: where a guidance interval is looked up. All samples share it."""
        given = self.t_audio if self.video_given else self.t_video
        return float(given.max())


def guide(negative: Tensor, positive: Tensor, scale: float) -> Tensor:
    """negative + scale * (positive - negative); a scale of 1 is the positive itself."""
    return negative + scale * (positive - negative)


@dataclass(frozen=True)
class Interval:
    """Sigmas in which guidance acts; outside, the plain prediction is followed.

    Args:
        low: Smallest sigma, in [0, 1].
        high: Largest sigma, in [0, 1].
    """

    low: float = 0.0
    high: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.low <= self.high <= 1:
            raise ValueError(f"guidance.interval: need 0 <= low <= high <= 1, got {self.low} and {self.high}")

    def holds(self, sigma: float) -> bool:
        """Whether ``sigma`` lies inside."""
        return self.low <= sigma <= self.high


class Guidance:
    """Base of the guidances.

    Args:
        interval: Sigmas in which the guidance acts.
    """

    def __init__(self, interval: Interval | None = None) -> None:
        self.interval = interval or Interval()

    def model_calls(self, video_given: bool = False, audio_given: bool = False) -> int:
        """Model calls of one step inside the interval."""
        raise NotImplementedError(f"{type(self).__name__} must say how many model calls a step takes")

    def calls_at(self, sigma: float, video_given: bool = False, audio_given: bool = False) -> int:
        """Model calls of a step at ``sigma``."""
        return self.model_calls(video_given, audio_given) if self.interval.holds(sigma) else 1

    def __call__(self, denoise: Denoiser, state: GuidanceState) -> Prediction:
        """Velocities to follow at ``state``; those of a given modality are not used."""
        plain = denoise(state.video, state.audio, state.t_video, state.t_audio, state.conditions)
        return self.delta(denoise, state, plain) if self.interval.holds(state.progress) else plain

    def delta(self, denoise: Denoiser, state: GuidanceState, plain: Prediction) -> Prediction:
        """The guided velocities, given the plain prediction ``plain``."""
        raise NotImplementedError(f"{type(self).__name__} must guide")


class NoGuidance(Guidance):
    """The joint prediction as it is: one call."""

    def model_calls(self, video_given: bool = False, audio_given: bool = False) -> int:
        """One."""
        return 1

    def delta(self, denoise: Denoiser, state: GuidanceState, plain: Prediction) -> Prediction:
        """``plain``."""
        return plain
