"""Global style alignment: the reference audio looks at the whole video (Sec. 3.2).

z_r <- z_r + CrossAttn(Q = z_r, K = V = all video tokens); only the reference changes, and timing stays untouched.
"""

from __future__ import annotations

from torch import Tensor, nn

from harmony_lit.model.interaction.base import Direction, InteractionDims, Timeline, token_mask
from harmony_lit.model.interaction.cross_modal import CrossModalAttention
from harmony_lit.model.layers import mask_bias


class GlobalStyle(nn.Module):
    """One cross-attention from the reference latents to all video tokens at every layer but the last.

    What the last layer would add to the reference is read by nobody: only the noisy part is predicted from.

    Args:
        dims: Passed by the model.
    """

    def __init__(self, dims: InteractionDims) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            CrossModalAttention(dims.audio_width, dims.video_width, dims.heads) for _ in range(dims.depth - 1)
        )

    def plan(self, timeline: Timeline) -> Direction:
        """Mask of the valid video tokens."""
        mask = token_mask(timeline.video_mask, timeline.tokens_per_frame)[:, None, None]
        return Direction(bias=mask_bias(mask), query=None, key=None)

    def forward(self, layer: int, reference: Tensor, video: Tensor, direction: Direction) -> Tensor:
        """Update of reference (B, R, Da) from video (B, T, S, Dv)."""
        return self.layers[layer](reference, video.flatten(1, 2), direction)
