"""Interactions that add an attention each way behind the towers' own, at every layer (Sec. 3.2).

Shape legend: B batch, T latent frames, S video tokens per latent frame, A noisy audio latents, Dv Da widths.
"""

from __future__ import annotations

from torch import Tensor, nn

from harmony_lit.model.interaction.base import Direction, Interaction, InteractionDims, Plan
from harmony_lit.model.layers import Attention, attention, merge_heads
from harmony_lit.model.rope import rotate


class CrossModalAttention(nn.Module):
    """Pre-norm attention from one modality to the other with QK RMS norm and a zero-initialised output.

    At initialisation the update is exactly zero, so that pretrained branches start unharmed.
    """

    def __init__(self, dim: int, source_dim: int, heads: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        self.source_norm = nn.LayerNorm(source_dim, eps=1e-6)
        self.attn = Attention(dim, heads, source_dim, zero_init=True)

    def forward(self, target: Tensor, source: Tensor, direction: Direction) -> Tensor:
        """Update of target (B, Lq, D) from source (B, Lk, Ds): (B, Lq, D)."""
        q = self.attn.project_q(self.norm(target))
        k, v = self.attn.project_kv(self.source_norm(source))
        if direction.query is not None and direction.key is not None:
            q, k = rotate(q, direction.query), rotate(k, direction.key)
        return self.attn.o(merge_heads(attention(q, k, v, direction.bias)))


class InteractionLayer(nn.Module):
    """Audio to video and video to audio at one layer."""

    def __init__(self, dims: InteractionDims) -> None:
        super().__init__()
        self.audio_to_video = CrossModalAttention(dims.video_width, dims.audio_width, dims.heads)
        self.video_to_audio = CrossModalAttention(dims.audio_width, dims.video_width, dims.heads)


class CrossModalInteraction(Interaction):
    """Base of the interactions z <- z + dz: subclasses say in ``plan`` who attends to whom.

    Args:
        dims: Passed by the model.

    Raises:
        ValueError: If the heads do not divide both widths.
    """

    def __init__(self, dims: InteractionDims) -> None:
        super().__init__(dims)
        if dims.video_width % dims.heads or dims.audio_width % dims.heads:
            raise ValueError(
                f"interaction heads {dims.heads} must divide both widths, {dims.video_width} and {dims.audio_width}"
            )
        self.layers = nn.ModuleList(InteractionLayer(dims) for _ in range(dims.depth))

    def updates(self, layer: int, video: Tensor, audio: Tensor, plan: Plan) -> tuple[Tensor, Tensor]:
        """dz_v (B, T, S, Dv) and dz_a (B, A, Da), both from the states before the interaction; see ``forward``."""
        at = self.layers[layer]
        assert isinstance(at, InteractionLayer)
        flat = video.flatten(1, 2)
        to_video = at.audio_to_video(flat, audio, plan.audio_to_video)
        to_audio = at.video_to_audio(audio, flat, plan.video_to_audio)
        return to_video.unflatten(1, video.shape[1:3]), to_audio

    def forward(self, layer: int, video: Tensor, audio: Tensor, plan: Plan) -> tuple[Tensor, Tensor]:
        """See the base."""
        to_video, to_audio = self.updates(layer, video, audio, plan)
        return video + to_video, audio + to_audio
