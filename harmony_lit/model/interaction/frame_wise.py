"""Frame-wise interaction of Global-Local Decoupled Interaction: local attention with aligned rotary positions.

Shape legend: B batch, T latent frames, S video tokens per latent frame, A audio latents.
"""

from __future__ import annotations

import torch
from torch import Tensor

from harmony_lit.model.interaction.alignment import Alignment, Positions, RatioAlignment
from harmony_lit.model.interaction.base import Direction, InteractionDims, Plan, Timeline, token_mask
from harmony_lit.model.interaction.cross_modal import CrossModalInteraction
from harmony_lit.model.layers import mask_bias
from harmony_lit.model.rope import Rotation, time_rotation


def audio_window(frame_of_audio: Tensor, audio_mask: Tensor, frames: int, margin: int) -> Tensor:
    """Which audio latents each latent frame sees: its own span and ``margin`` latents on each side.

    A frame that owns no latent (none falls into it) sees ``margin`` on each side of where its span would be.

    Args:
        frame_of_audio: (B, A) owning frame, not decreasing.
        audio_mask: (B, A) valid latents.
        frames: T.
        margin: Latents on each side.

    Returns:
        (B, T, A) bool.
    """
    owner = frame_of_audio.masked_fill(~audio_mask, frames)
    index = torch.arange(frames, device=owner.device)[None, :, None]
    first = (owner[:, None] < index).sum(dim=-1, keepdim=True)
    end = (owner[:, None] <= index).sum(dim=-1, keepdim=True)
    j = torch.arange(owner.shape[1], device=owner.device)
    return (j >= first - margin) & (j < end + margin) & audio_mask[:, None]


def video_window(frame_of_audio: Tensor, video_mask: Tensor, margin: int) -> Tensor:
    """Which latent frames each audio latent sees: those within ``margin`` of its own; (B, A, T) bool."""
    index = torch.arange(video_mask.shape[1], device=frame_of_audio.device)
    near = (frame_of_audio[..., None] - index).abs() <= margin
    return near & video_mask[:, None]


class FrameWiseInteraction(CrossModalInteraction):
    """Frame-wise attention both ways (Sec. 3.2).

    The windows are masks over whole sequences, shared by all layers: any batch size, lengths that differ within a
    batch, no loop over frames. The extra products are small beside the video branch's own attention (Ta against
    T * S keys).

    Args:
        dims: Passed by the model.
        alignment: How the timelines are laid over each other.
        audio_margin: Audio latents on each side of a frame's own span (4 at 31.25 Hz is about 0.13 s).
        video_margin: Latent frames on each side of an audio latent's own.
    """

    def __init__(
        self,
        dims: InteractionDims,
        *,
        alignment: Alignment | None = None,
        audio_margin: int = 4,
        video_margin: int = 1,
    ) -> None:
        super().__init__(dims)
        if audio_margin < 0 or video_margin < 0:
            raise ValueError("interaction: audio_margin and video_margin must not be negative")
        self.alignment = alignment or RatioAlignment()
        self.audio_margin, self.video_margin = audio_margin, video_margin

    def plan(self, timeline: Timeline) -> Plan:
        """Windows and rotations of both directions."""
        aligned = self.alignment(timeline, self.dims.geometry)
        audio_mask, video_mask = timeline.audio_mask, timeline.video_mask
        to_video = audio_window(aligned.frame_of_audio, audio_mask, timeline.video_size, self.audio_margin)
        to_audio = video_window(aligned.frame_of_audio, video_mask, self.video_margin)
        s = timeline.tokens_per_frame
        a2v, v2a = aligned.on_video, aligned.on_audio
        video_head, audio_head = self.dims.video_width // self.dims.heads, self.dims.audio_width // self.dims.heads
        return Plan(
            audio_to_video=Direction(
                bias=mask_bias(to_video).repeat_interleave(s, dim=1)[:, None],
                query=self._video_rotation(a2v, s, video_head),
                key=None if a2v is None else time_rotation(a2v.audio, video_head),
            ),
            video_to_audio=Direction(
                bias=mask_bias(token_mask(to_audio, s))[:, None],
                query=None if v2a is None else time_rotation(v2a.audio, audio_head),
                key=self._video_rotation(v2a, s, audio_head),
            ),
        )

    @staticmethod
    def _video_rotation(positions: Positions | None, tokens_per_frame: int, head_dim: int) -> Rotation | None:
        if positions is None:
            return None
        return time_rotation(token_mask(positions.video, tokens_per_frame), head_dim)
