"""SyncCFG: mute audio and static video as negative anchors (Sec. 3.4).

eps_v~ = d_v + s_v (j_v - d_v), d_v the audio-driven prediction with mute audio;
eps_a~ = d_a + s_a (j_a - d_a), d_a the video-driven prediction with static video;
j the joint prediction. The same holds for velocities, which are what the model predicts.
"""

from __future__ import annotations

import torch

from harmony_lit.containers import Prediction, VideoLatents
from harmony_lit.flow import clean_estimate
from harmony_lit.guidance.base import Denoiser, Guidance, GuidanceState, Interval, guide


class SyncCFG(Guidance):
    """Amplifies what one modality owes to the other; captions are kept in both anchors.

    Where a modality is given (audio- or video-driven sampling) only the other is guided, against the same anchor.

    Args:
        video_scale: s_v; 3 in the paper.
        audio_scale: s_a; 2 in the paper.
        text_scale: Optional text guidance on top: adds (text_scale - 1) (j - u), with u the joint prediction under
            empty captions; 1 leaves it, and its model call, out.
        interval: Sigmas in which the guidance acts.
    """

    def __init__(
        self,
        video_scale: float = 3.0,
        audio_scale: float = 2.0,
        text_scale: float = 1.0,
        interval: Interval | None = None,
    ) -> None:
        super().__init__(interval)
        self.video_scale, self.audio_scale, self.text_scale = video_scale, audio_scale, text_scale

    def model_calls(self, video_given: bool = False, audio_given: bool = False) -> int:
        """Three for joint sampling, two when a modality is given; one more with text guidance."""
        anchors = int(not video_given) + int(not audio_given)
        return 1 + anchors + int(self.text_scale != 1)

    def delta(self, denoise: Denoiser, state: GuidanceState, plain: Prediction) -> Prediction:
        """See the class."""
        assert plain.video is not None and plain.audio is not None
        video, audio = plain.video, plain.audio
        clean = torch.zeros_like(state.t_video)
        if not state.video_given:
            muted = denoise(state.video, state.anchors.mute, state.t_video, clean, state.conditions).video
            assert muted is not None
            video = guide(muted, plain.video, self.video_scale)
        if not state.audio_given:
            static = static_video(state, plain)
            still = denoise(static, state.audio, clean, state.t_audio, state.conditions).audio
            assert still is not None
            audio = guide(still, plain.audio, self.audio_scale)
        if self.text_scale != 1:
            empty = denoise(state.video, state.audio, state.t_video, state.t_audio, state.anchors.empty)
            assert empty.video is not None and empty.audio is not None
            video = video + (self.text_scale - 1) * (plain.video - empty.video)
            audio = audio + (self.text_scale - 1) * (plain.audio - empty.audio)
        return Prediction(video, audio)


def static_video(state: GuidanceState, plain: Prediction) -> VideoLatents:
    """The still picture of each sample: its image's anchor, or else the first frame of the x0 estimate repeated."""
    assert plain.video is not None
    estimate = clean_estimate(state.video.x, plain.video, state.t_video)
    repeated = estimate[:, :, :1].expand_as(estimate)
    has_image = state.conditions.has_image[:, None, None, None, None]
    return state.video.with_x(torch.where(has_image, state.anchors.static.x, repeated))
