"""The dual-branch transformer: video and audio towers of equal depth that interact at every layer (Sec. 3.1, 3.2).

Shape legend: B batch, Tv latent frames, Ta audio latents, C channels, H W latent rows and columns.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from harmony_lit.containers import AudioLatents, Conditions, Prediction, VideoLatents
from harmony_lit.geometry import Geometry
from harmony_lit.model.audio import AudioDims, AudioTower
from harmony_lit.model.audio_blocks import AudioState
from harmony_lit.model.interaction import FrameWiseInteraction, GlobalStyle, Interaction, InteractionDims, Timeline
from harmony_lit.model.interaction.base import Direction, Plan
from harmony_lit.model.offload import Device, Offload, device_of, tensors
from harmony_lit.model.video import VideoDims, VideoState, VideoTower


@dataclass(frozen=True)
class ModelDims:
    """What the system (codecs, encoders, geometry) tells the model."""

    video_channels: int
    audio_channels: int
    caption_dim: int
    vocab_size: int
    geometry: Geometry


class DualBranchDiT(nn.Module):
    """Predicts the velocities of both modalities.

    Args:
        dims: Channels, caption width, vocabulary and geometry, passed by the module.
        depth: Layers of both towers.
        interaction_heads: Heads of the attentions that interaction and style add.
        video: The video tower; its dims are passed by the model.
        audio: The audio tower; its dims are passed by the model.
        interaction: Cross-modal interaction at every layer; its dims are passed by the model.
        style: Global style alignment over the reference audio; None leaves it out (ablation).
        checkpoint_blocks: Every how many layers one keeps only its input for backward and is computed again there: 0
            none, 1 all, 2 every other. Less memory for up to a third more time; the numbers stay.
        compile_blocks: Whether the self-attentions and feed-forwards of both towers are compiled, each once for all
            layers. Cross-attention and interaction, which call each other, are not.
    """

    def __init__(
        self,
        dims: ModelDims,
        *,
        depth: int = 30,
        interaction_heads: int = 24,
        video: Callable[[VideoDims], VideoTower] = VideoTower,
        audio: Callable[[AudioDims], AudioTower] = AudioTower,
        interaction: Callable[[InteractionDims], Interaction] = FrameWiseInteraction,
        style: Callable[[InteractionDims], GlobalStyle] | None = GlobalStyle,
        checkpoint_blocks: int = 0,
        compile_blocks: bool = False,
    ) -> None:
        super().__init__()
        if checkpoint_blocks < 0:
            raise ValueError(f"network.checkpoint_blocks: take 0 for none or n for every n-th, not {checkpoint_blocks}")
        self.checkpoint_blocks, self.compile_blocks = checkpoint_blocks, compile_blocks
        self.dims, self.depth = dims, depth
        self.video = video(VideoDims(dims.video_channels, dims.caption_dim, dims.geometry.patch, depth))
        self.audio = audio(AudioDims(dims.audio_channels, dims.caption_dim, dims.vocab_size, depth, dims.geometry))
        between = InteractionDims(
            video_width=self.video.width,
            audio_width=self.audio.width,
            heads=interaction_heads,
            depth=depth,
            geometry=dims.geometry,
            video_heads=self.video.heads,
            audio_heads=self.audio.heads,
            audio_positions=self.audio.positions,
        )
        self.interaction = interaction(between)
        self.style = None if style is None else style(between)
        self._offload: Offload | None = None

    def place(self, device: torch.device | str, offload: bool = False, through: Device | None = None) -> DualBranchDiT:
        """Moves the model to where it is sampled from; a model with offloaded layers cannot be trained.

        Args:
            device: Where it works.
            offload: Whether the layers stay on the CPU and visit ``device`` one at a time; on the CPU no difference.
            through: How they get there; by default what suits the device.
        """
        device = torch.device(device)
        if not offload:
            return self.to(device)
        parts = [self.video.blocks, self.audio.blocks]
        for between in (self.interaction, self.style):
            own = getattr(between, "layers", None)
            parts += [own] if isinstance(own, nn.ModuleList) else []
        layers = [[part[layer] for part in parts if layer < len(part)] for layer in range(self.depth)]
        self._offload = Offload(layers, through or device_of(device))
        moving = {id(tensor) for modules in layers for module in modules for tensor in tensors(module)}
        for tensor in tensors(self):
            if id(tensor) not in moving:
                tensor.data = tensor.data.to(device)
        return self

    def forward(
        self,
        video: VideoLatents | None,
        audio: AudioLatents,
        t_video: Tensor,
        t_audio: Tensor,
        conditions: Conditions,
    ) -> Prediction:
        """Velocities eps - x0 at timesteps in [0, 1]; t = 0 says that a modality is clean.

        Args:
            video: (B, C, Tv, H, W), or None to run the audio branch alone (stages 1 and 2). Where an image is given,
                the first latent frame is replaced by it and its tokens are at t = 0.
            audio: (B, C, Ta).
            t_video: (B,).
            t_audio: (B,).
            conditions: Captions, transcript, reference audio and image.
        """
        tokens, audio_state = self.audio.embed(audio, t_audio, conditions)
        if video is None:
            return Prediction(None, self._audio_alone(tokens, audio_state))

        video, t_frames = hold_first_frame(video, t_video, conditions)
        x, video_state = self.video.embed(video, t_frames, conditions.video_caption)
        frames, rows, columns = video_state.grid
        timeline = Timeline(video.lengths, audio.lengths, frames, audio.x.shape[2], rows, columns)
        plan = self.interaction.plan(timeline)
        style_plan = None if self.style is None else self.style.plan(timeline)
        for layer in range(self.depth):
            x, tokens = self._run(layer, self._joint_layer, x, tokens, video_state, audio_state, plan, style_plan)
        return Prediction(self.video.unembed(x, video_state), self.audio.unembed(tokens, audio_state))

    def _audio_alone(self, tokens: Tensor, state: AudioState) -> Tensor:
        for layer in range(self.depth):
            tokens = self._run(layer, self._audio_layer, tokens, state)
        return self.audio.unembed(tokens, state)

    def _run(self, layer: int, work: Callable[..., Any], *args: Any) -> Any:
        """``work(layer, *args)``, under activation checkpointing where this layer has it."""
        if self._offload is not None:
            self._offload.enter(layer)
        if self.checkpoint_blocks and layer % self.checkpoint_blocks == 0 and torch.is_grad_enabled():
            return checkpoint(work, layer, *args, use_reentrant=False, preserve_rng_state=False)
        return work(layer, *args)

    def _joint_layer(
        self,
        layer: int,
        x: Tensor,
        tokens: Tensor,
        video_state: VideoState,
        audio_state: AudioState,
        plan: Plan,
        style_plan: Direction | None,
    ) -> tuple[Tensor, Tensor]:
        """One layer of both towers with what passes between them: video and audio tokens to the same."""
        video, audio = self.video.layers[layer], self.audio.layers[layer]
        r, end = audio_state.reference, audio_state.latents
        x = self._step(type(video).self_attend)(video, x, video_state)
        tokens = self._step(type(audio).self_attend)(audio, tokens, audio_state)
        in_video, in_audio = self.interaction.within(layer, x, tokens[:, r:end], plan)
        x = video.cross_attend(x, video_state, in_video)
        tokens = audio.cross_attend(tokens, audio_state, in_audio)
        reference, noisy, text = tokens[:, :r], tokens[:, r:end], tokens[:, end:]
        before = x
        x, noisy = self.interaction(layer, x, noisy, plan)
        if self.style is not None and style_plan is not None and layer < self.depth - 1:
            reference = reference + self.style(layer, reference, before, style_plan)
        tokens = torch.cat([reference, noisy, text], dim=1)
        x = self._step(type(video).feed_forward)(video, x, video_state)
        tokens = self._step(type(audio).feed_forward)(audio, tokens, audio_state)
        return x, tokens

    def _audio_layer(self, layer: int, tokens: Tensor, state: AudioState) -> Tensor:
        block = self.audio.layers[layer]
        tokens = block.cross_attend(self._step(type(block).self_attend)(block, tokens, state), state)
        return self._step(type(block).feed_forward)(block, tokens, state)

    def _step(self, step: Callable[..., Tensor]) -> Callable[..., Tensor]:
        return _compiled(step) if self.compile_blocks else step


@cache
def _compiled(step: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """A step of a block class, compiled once: an attribute of the module would be copied with it, bound to the old."""
    compiled: Callable[..., Tensor] = torch.compile(step)
    return compiled


def hold_first_frame(video: VideoLatents, t: Tensor, conditions: Conditions) -> tuple[VideoLatents, Tensor]:
    """Puts the reference image into the first latent frame where there is one, at t = 0.

    Args:
        video: (B, C, Tv, H, W).
        t: (B,).
        conditions: ``reference_image`` (B, C, H, W) and ``has_image`` (B,).

    Returns:
        The latents, and the timestep of each latent frame (B, Tv).
    """
    has = conditions.has_image
    image = conditions.reference_image.to(video.x.dtype)
    first = torch.where(has[:, None, None, None], image, video.x[:, :, 0])
    x = torch.cat([first[:, :, None], video.x[:, :, 1:]], dim=2)
    first_t = torch.where(has, torch.zeros_like(t), t)[:, None]
    return replace(video, x=x), torch.cat([first_t, t[:, None].expand(-1, x.shape[2] - 1)], dim=1)
