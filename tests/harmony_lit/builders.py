"""Small batches and models for tests; tests import it as ``builders``."""

from __future__ import annotations

from functools import partial

import torch

from harmony_lit.containers import AudioLatents, Batch, Conditions, TextEmbeds, TokenIds, VideoLatents
from harmony_lit.geometry import Geometry
from harmony_lit.model import AudioTower, DualBranchDiT, ModelDims, TranscriptEncoder, VideoTower

CHANNELS, AUDIO_CHANNELS, CAPTION_DIM, VOCABULARY = 4, 5, 6, 20


def make_model(
    depth: int = 2,
    width: int = 24,
    heads: int = 2,
    geometry: Geometry | None = None,
    video_parts: dict | None = None,
    audio_parts: dict | None = None,
    **parts,
):
    """A model small enough for tests, with every zero-initialised parameter filled so that all paths count."""
    model = DualBranchDiT(
        ModelDims(CHANNELS, AUDIO_CHANNELS, CAPTION_DIM, VOCABULARY, geometry or Geometry()),
        depth=depth,
        interaction_heads=heads,
        video=partial(VideoTower, width=width, heads=heads, ffn_width=2 * width, freq_dim=16, **(video_parts or {})),
        audio=partial(
            AudioTower,
            width=width,
            heads=heads,
            ffn_width=2 * width,
            freq_dim=16,
            null_reference=3,
            **{"transcript": partial(TranscriptEncoder, width=8, layers=1)} | (audio_parts or {}),
        ),
        **parts,
    )
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            if not parameter.any():
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.2)
    return model


def make_conditions(batch: int = 2, seed: int = 0, size: int = 4) -> Conditions:
    """Conditions of ragged lengths; the first sample has an image and a reference, the last has neither."""
    g = torch.Generator().manual_seed(seed)
    lengths = torch.tensor([3 + i % 3 for i in range(batch)])
    mask = torch.arange(5)[None] < lengths[:, None]

    def caption() -> TextEmbeds:
        return TextEmbeds(torch.randn(batch, 5, CAPTION_DIM, generator=g) * mask[..., None], mask)

    ids = torch.randint(1, VOCABULARY, (batch, 5), generator=g) * mask
    first = torch.arange(batch) == 0
    return Conditions(
        video_caption=caption(),
        audio_caption=caption(),
        transcript=TokenIds(ids, mask),
        reference_audio=AudioLatents(torch.randn(batch, AUDIO_CHANNELS, 4, generator=g), torch.where(first, 4, 0)),
        reference_image=torch.randn(batch, CHANNELS, size, size, generator=g),
        has_image=first,
    )


def make_batch(
    video_lengths: tuple[int, ...] = (5, 5), audio_lengths: tuple[int, ...] = (18, 18), seed: int = 0, size: int = 4
) -> Batch:
    """Random latents of the given lengths with ``make_conditions``."""
    g = torch.Generator().manual_seed(seed)
    n, frames, latents = len(video_lengths), max(video_lengths), max(audio_lengths)
    return Batch(
        video=VideoLatents(torch.randn(n, CHANNELS, frames, size, size, generator=g), torch.tensor(video_lengths)),
        audio=AudioLatents(torch.randn(n, AUDIO_CHANNELS, latents, generator=g), torch.tensor(audio_lengths)),
        conditions=make_conditions(n, seed, size),
    )
