"""The ablation baseline: one global cross-attention each way, in place of GLDI."""

from __future__ import annotations

from harmony_lit.model.interaction.base import Direction, Plan, Timeline, token_mask
from harmony_lit.model.interaction.cross_modal import CrossModalInteraction
from harmony_lit.model.layers import mask_bias


class GlobalInteraction(CrossModalInteraction):
    """Every video token attends to all audio latents and the other way round, without positions (Table 3, row 1)."""

    def plan(self, timeline: Timeline) -> Plan:
        """Masks of the valid tokens only."""
        audio = timeline.audio_mask[:, None, None]
        video = token_mask(timeline.video_mask, timeline.tokens_per_frame)[:, None, None]
        return Plan(
            audio_to_video=Direction(bias=mask_bias(audio), query=None, key=None),
            video_to_audio=Direction(bias=mask_bias(video), query=None, key=None),
        )
