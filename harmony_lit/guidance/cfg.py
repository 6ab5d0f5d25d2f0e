"""Classifier-free guidance with a scale per modality (as Ovi samples)."""

from __future__ import annotations

from harmony_lit.containers import Prediction
from harmony_lit.guidance.base import Denoiser, Guidance, GuidanceState, Interval, guide


class ModalityCFG(Guidance):
    """v = u + s (c - u), with u the prediction under empty captions and no transcript, and s per modality.

    Args:
        video_scale: Scale of the video's velocity.
        audio_scale: Scale of the audio's velocity.
        interval: Sigmas in which the guidance acts.
    """

    def __init__(self, video_scale: float = 4.0, audio_scale: float = 3.0, interval: Interval | None = None) -> None:
        super().__init__(interval)
        self.video_scale, self.audio_scale = video_scale, audio_scale

    def model_calls(self, video_given: bool = False, audio_given: bool = False) -> int:
        """Two: with and without text."""
        return 2

    def delta(self, denoise: Denoiser, state: GuidanceState, plain: Prediction) -> Prediction:
        """See the class."""
        empty = denoise(state.video, state.audio, state.t_video, state.t_audio, state.anchors.empty)
        assert plain.video is not None and plain.audio is not None
        assert empty.video is not None and empty.audio is not None
        return Prediction(
            video=guide(empty.video, plain.video, self.video_scale),
            audio=guide(empty.audio, plain.audio, self.audio_scale),
        )
