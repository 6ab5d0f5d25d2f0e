"""Our video tower and diffusers' Wan transformer with the same weights and inputs.

Shape legend: B batch, C latent channels, T latent frames, H W latent rows and columns, L text tokens.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from harmony_lit.containers import TextEmbeds, VideoLatents
from harmony_lit.model.video import VideoDims, VideoTower
from harmony_lit.pretrained.wan import from_diffusers


@dataclass(frozen=True)
class Shape:
    """A Wan transformer and a batch for it; heads are ``head_dim`` wide, the patch is (1, 2, 2)."""

    width: int = 1024
    layers: int = 8
    head_dim: int = 128
    ffn_width: int = 4800  # Wan's 14 / 3 of the width, near enough
    freq_dim: int = 256
    channels: int = 48
    caption_dim: int = 4096
    batch: int = 1
    frames: int = 8
    rows: int = 16  # of tokens
    cols: int = 16
    text_len: int = 512


@dataclass(frozen=True)
class Inputs:
    """Noisy latents (B, C, T, H, W), timestep of each frame (B, T) in [0, 1], caption, gradient of the output."""

    latents: Tensor
    t: Tensor
    caption: TextEmbeds
    grad: Tensor


def make_inputs(shape: Shape, device: torch.device, dtype: torch.dtype) -> Inputs:
    """Random inputs, the same on every call; the first latent frame is clean, as under TI2V."""
    generator = torch.Generator().manual_seed(0)

    def normal(*size: int) -> Tensor:
        return torch.randn(size, generator=generator).to(device, dtype)

    latents = (shape.batch, shape.channels, shape.frames, 2 * shape.rows, 2 * shape.cols)
    t = torch.rand(shape.batch, 1, generator=generator).expand(-1, shape.frames).clone().to(device)
    t[:, 0] = 0
    mask = torch.ones(shape.batch, shape.text_len, dtype=torch.bool, device=device)
    caption = TextEmbeds(normal(shape.batch, shape.text_len, shape.caption_dim), mask)
    return Inputs(normal(*latents).requires_grad_(), t, caption, normal(*latents))


def make_ours(shape: Shape, device: torch.device, dtype: torch.dtype) -> VideoTower:
    """Our tower, its weights drawn by name."""
    dims = VideoDims(shape.channels, shape.caption_dim, (1, 2, 2), shape.layers)
    with torch.device("meta"):
        tower = VideoTower(
            dims,
            width=shape.width,
            heads=shape.width // shape.head_dim,
            ffn_width=shape.ffn_width,
            freq_dim=shape.freq_dim,
            text_len=shape.text_len,
        )
    return _drawn(tower, device, dtype, lambda name: name)


def make_theirs(shape: Shape, device: torch.device, dtype: torch.dtype) -> nn.Module:
    """``diffusers.WanTransformer3DModel`` with the same weights."""
    from diffusers import WanTransformer3DModel
    from diffusers.utils import logging

    logging.set_verbosity_error()  # it advises against casting, which in one dtype is what is wanted
    model: nn.Module = WanTransformer3DModel(
        patch_size=(1, 2, 2),
        num_attention_heads=shape.width // shape.head_dim,
        attention_head_dim=shape.head_dim,
        in_channels=shape.channels,
        out_channels=shape.channels,
        text_dim=shape.caption_dim,
        freq_dim=shape.freq_dim,
        ffn_dim=shape.ffn_width,
        num_layers=shape.layers,
    )
    return _drawn(model, device, dtype, from_diffusers)


def run_ours(tower: VideoTower, inputs: Inputs) -> Tensor:
    """Velocities (B, C, T, H, W)."""
    lengths = torch.full((inputs.latents.shape[0],), inputs.latents.shape[2], device=inputs.latents.device)
    return tower(VideoLatents(inputs.latents, lengths, ragged=False), inputs.t, inputs.caption)


def run_theirs(model: nn.Module, inputs: Inputs) -> Tensor:
    """Velocities (B, C, T, H, W), with the timestep of each frame given to each of its tokens."""
    tokens = inputs.latents.shape[3] // 2 * (inputs.latents.shape[4] // 2)
    timestep = (inputs.t * 1000).repeat_interleave(tokens, dim=1)
    y: Tensor = model(inputs.latents, timestep, inputs.caption.x, return_dict=False)[0]
    return y


def gradients(model: nn.Module, inputs: Inputs, rename: Callable[[str], str]) -> dict[str, Tensor]:
    """Gradients of the last backward pass under our names, and that of the latents."""
    found = {rename(name): p.grad for name, p in model.named_parameters()}
    return {name: g for name, g in {**found, "latents": inputs.latents.grad}.items() if g is not None}


def _drawn(model: Any, device: torch.device, dtype: torch.dtype, rename: Callable[[str], str]) -> Any:
    """Fills the parameters, each from a seed of its name, so that two processes agree without a file."""
    if any(p.is_meta for p in model.parameters()):
        model = model.to_empty(device=device)
    model = model.to(device, dtype)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            generator = torch.Generator().manual_seed(zlib.crc32(rename(name).encode()))
            values = torch.randn(parameter.shape, generator=generator)
            centre = 1.0 if ".norm" in name and name.endswith("weight") else 0.0
            scale = parameter[0].numel() ** -0.5 if parameter.ndim > 1 else 0.1
            parameter.copy_(values * scale + centre)
    return model
