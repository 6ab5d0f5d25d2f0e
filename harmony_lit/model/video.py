"""The video branch: a Wan2.2 transformer whose modulation is per latent frame.

Shape legend: B batch, T latent frames, S tokens per latent frame, L = T * S, D width, C latent channels.
Keys are those of the original Wan layout (``patch_embedding``, ``blocks.N.self_attn.q`` ...), so that its weights
load as they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from einops import rearrange
from torch import Tensor, nn

from harmony_lit.containers import TextEmbeds, VideoLatents
from harmony_lit.model.attention import AttentionBackend
from harmony_lit.model.layers import Attention, Within, feed_forward, mask_bias, sinusoidal_embedding
from harmony_lit.model.lean import modulated_norm
from harmony_lit.model.rope import Rotation, rotate, video_rotation
from harmony_lit.model.text import Text, embed_caption, fill_caption


@dataclass(frozen=True)
class VideoDims:
    """What the model tells its video tower."""

    channels: int
    caption_dim: int
    patch: tuple[int, int, int]
    depth: int


@dataclass(frozen=True)
class VideoState:
    """What stays fixed through the blocks: modulation per latent frame, caption, rotation, masks."""

    modulation: Tensor  # (B, T, 6, D)
    time: Tensor  # (B, T, D)
    text: Text
    rotation: Rotation
    bias: Tensor | None  # (B, 1, 1, L)
    grid: tuple[int, int, int]  # T, rows, columns


class VideoBlock(nn.Module):
    """One Wan block in three steps, so that an interaction can stand within cross-attention or after it."""

    def __init__(self, dim: int, ffn_dim: int, heads: int, backend: AttentionBackend = "auto") -> None:
        super().__init__()
        self.self_attn = Attention(dim, heads, backend=backend)
        self.norm3 = nn.LayerNorm(dim, eps=1e-6)
        self.cross_attn = Attention(dim, heads, backend=backend)
        self.ffn = feed_forward(dim, ffn_dim)
        self.modulation = nn.Parameter(torch.randn(1, 6, dim) / dim**0.5)

    def forward(self, x: Tensor, state: VideoState) -> Tensor:
        """The three steps in turn: (B, T, S, D) -> (B, T, S, D)."""
        return self.feed_forward(self.cross_attend(self.self_attend(x, state), state), state)

    def self_attend(self, x: Tensor, state: VideoState) -> Tensor:
        """Self-attention over all tokens: (B, T, S, D) -> (B, T, S, D)."""
        shift, scale, gate = self._modulations(x, state, 0)
        y = modulated_norm(x, shift, scale).flatten(1, 2)
        q = rotate(self.self_attn.project_q(y), state.rotation)
        k, v = self.self_attn.project_kv(y)
        y = self.self_attn.attend(q, rotate(k, state.rotation), v, state.bias)
        return torch.addcmul(x, y.unflatten(1, x.shape[1:3]), gate)

    def cross_attend(self, x: Tensor, state: VideoState, within: Within | None = None) -> Tensor:
        """Cross-attention to the caption, and to what an interaction brings ``within`` it."""
        y = self.cross_attn(self.norm3(x).flatten(1, 2), state.text, within)
        return x + y.unflatten(1, x.shape[1:3])

    def feed_forward(self, x: Tensor, state: VideoState) -> Tensor:
        """(B, T, S, D) -> (B, T, S, D)."""
        shift, scale, gate = self._modulations(x, state, 3)
        y = self.ffn(modulated_norm(x, shift, scale).flatten(1, 2))
        return torch.addcmul(x, y.unflatten(1, x.shape[1:3]), gate)

    def _modulations(self, x: Tensor, state: VideoState, first: int) -> tuple[Tensor, ...]:
        """Shift, scale and gate from index ``first`` on, each (B, T, 1, D) in x's dtype."""
        part = slice(first, first + 3)
        return (state.modulation[:, :, part] + self.modulation[:, None, part]).to(x.dtype).unsqueeze(2).unbind(3)


class Head(nn.Module):
    """Modulated projection from tokens to latent patches."""

    def __init__(self, dim: int, out_dim: int) -> None:
        super().__init__()
        self.head = nn.Linear(dim, out_dim)
        self.modulation = nn.Parameter(torch.randn(1, 2, dim) / dim**0.5)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """x (B, T, S, D) or (B, T, D) with time (B, T or 1, D) -> (..., out_dim)."""
        shift, scale = (time.unsqueeze(2) + self.modulation[:, None]).to(x.dtype).unbind(2)
        if x.ndim == 4:
            shift, scale = shift.unsqueeze(2), scale.unsqueeze(2)
        return self.head(modulated_norm(x, shift, scale))


class VideoTower(nn.Module):
    """Wan2.2's video transformer (Sec. 3.1): width 3072, ffn 14336, 24 heads and depth 30 make TI2V-5B.

    Args:
        dims: Channels, caption width, patch and depth, passed by the model.
        width: Width D.
        heads: Attention heads.
        ffn_width: Hidden width of the feed-forward.
        freq_dim: Width of the sinusoidal timestep embedding.
        text_len: Tokens that every caption is padded to with zeros, all of them attended to, as Wan was trained (512
            for its weights); None attends to the caption's own tokens only.
        attention_backend: Kernel of the attentions.
    """

    def __init__(
        self,
        dims: VideoDims,
        *,
        width: int = 3072,
        heads: int = 24,
        ffn_width: int = 14_336,
        freq_dim: int = 256,
        text_len: int | None = None,
        attention_backend: AttentionBackend = "auto",
    ) -> None:
        super().__init__()
        self.dims, self.width, self.heads, self.freq_dim, self.text_len = dims, width, heads, freq_dim, text_len
        self.patch_embedding = nn.Conv3d(dims.channels, width, kernel_size=dims.patch, stride=dims.patch)
        self.text_embedding = nn.Sequential(
            nn.Linear(dims.caption_dim, width), nn.GELU(approximate="tanh"), nn.Linear(width, width)
        )
        self.time_embedding = nn.Sequential(nn.Linear(freq_dim, width), nn.SiLU(), nn.Linear(width, width))
        self.time_projection = nn.Sequential(nn.SiLU(), nn.Linear(width, 6 * width))
        self.blocks = nn.ModuleList(VideoBlock(width, ffn_width, heads, attention_backend) for _ in range(dims.depth))
        patch_values = dims.channels * dims.patch[0] * dims.patch[1] * dims.patch[2]
        self.head = Head(width, patch_values)

    def forward(self, latents: VideoLatents, t: Tensor, caption: TextEmbeds) -> Tensor:
        """The tower by itself, as Wan runs: velocities (B, C, T, H, W); arguments as of ``embed``."""
        x, state = self.embed(latents, t, caption)
        for block in self.layers:
            x = block(x, state)
        return self.unembed(x, state)

    def embed(self, latents: VideoLatents, t: Tensor, caption: TextEmbeds) -> tuple[Tensor, VideoState]:
        """Tokens (B, T, S, D) and the state of the blocks.

        Args:
            latents: Noisy latents (B, C, T, H, W).
            t: Timestep in [0, 1] of each latent frame, (B, T).
            caption: Caption embeddings.
        """
        # The patch convolution as a matrix product: on CPU and GPU faster than Conv3d with kernel = stride.
        weight = self.patch_embedding.weight.flatten(1)
        pt, ph, pw = self.dims.patch
        patches = rearrange(latents.x, "b c (t pt) (h ph) (w pw) -> b t (h w) (c pt ph pw)", pt=pt, ph=ph, pw=pw)
        x = nn.functional.linear(patches, weight, self.patch_embedding.bias)
        frames, rows, cols = latents.x.shape[2] // pt, latents.x.shape[3] // ph, latents.x.shape[4] // pw
        time = self.time_embedding(sinusoidal_embedding(t * 1000, self.freq_dim).to(_dtype_of(self.time_embedding)))
        bias = mask_bias(latents.mask.repeat_interleave(rows * cols, dim=1))[:, None, None] if latents.ragged else None
        state = VideoState(
            modulation=self.time_projection(time.to(_dtype_of(self.time_projection))).unflatten(-1, (6, self.width)),
            time=time,
            text=embed_caption(self, caption, self._embed_text),
            rotation=video_rotation(frames, rows, cols, self.width // self.heads, x.device),
            bias=bias,
            grid=(frames, rows, cols),
        )
        return x, state

    def unembed(self, x: Tensor, state: VideoState) -> Tensor:
        """Tokens (B, T, S, D) to velocities (B, C, T, H, W)."""
        _, rows, cols = state.grid
        pt, ph, pw = self.dims.patch
        return rearrange(
            self.head(x, state.time),
            "b t (h w) (pt ph pw c) -> b c (t pt) (h ph) (w pw)",
            h=rows, w=cols, pt=pt, ph=ph, pw=pw,
        )  # fmt: skip

    def _embed_text(self, caption: TextEmbeds, keep: bool) -> Text:
        if self.text_len is not None:
            return Text(self.text_embedding(fill_caption(caption, self.text_len)), None, keep)
        return Text(self.text_embedding(caption.x), mask_bias(caption.mask)[:, None, None], keep)

    @property
    def layers(self) -> list[VideoBlock]:
        """The blocks, typed."""
        return cast(list[VideoBlock], list(self.blocks))


def _dtype_of(module: nn.Module) -> torch.dtype:
    """Dtype of a part's weights: the timestep's may stay in fp32 where the rest is in bfloat16, as in Wan."""
    return next(module.parameters()).dtype
