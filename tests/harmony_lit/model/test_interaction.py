"""Frame-wise, global and style attention against references written token by token."""

from __future__ import annotations

import math

import pytest
import torch

from harmony_lit.geometry import Geometry
from harmony_lit.model.audio_positions import LatentPositions
from harmony_lit.model.interaction import (
    FrameWiseInteraction,
    GlobalInteraction,
    GlobalStyle,
    InteractionDims,
    NoAlignment,
    RatioAlignment,
    SecondsAlignment,
    Timeline,
)

HEADS, VIDEO_WIDTH, AUDIO_WIDTH, TOKENS = 2, 16, 12, 2


def rotate_slowly(vector: torch.Tensor, position: float) -> torch.Tensor:
    """Turns channel pairs (0, 1), (2, 3) ... of one head by position * 10000^(-2i / E)."""
    out = vector.clone()
    size = vector.shape[0]
    for i in range(0, size, 2):
        angle = position * 10_000 ** (-i / size)
        c, s = math.cos(angle), math.sin(angle)
        out[i], out[i + 1] = vector[i] * c - vector[i + 1] * s, vector[i] * s + vector[i + 1] * c
    return out


def attend_slowly(module, target, source, allowed, target_position=None, source_position=None):
    """One sample: target (Lq, D), source (Lk, Ds), allowed(q, k) -> bool; a loop over queries, heads and keys."""
    attn = module.attn
    q = attn.norm_q(attn.q(module.norm(target)))
    k = attn.norm_k(attn.k(module.source_norm(source)))
    v = attn.v(module.source_norm(source))
    size = q.shape[1] // attn.heads
    rows = []
    for i in range(target.shape[0]):
        heads = []
        for h in range(attn.heads):
            part = slice(h * size, (h + 1) * size)
            query = q[i, part]
            keys = [j for j in range(source.shape[0]) if allowed(i, j)]
            if target_position is not None:
                query = rotate_slowly(query, target_position(i))
            scores = []
            for j in keys:
                key = k[j, part] if source_position is None else rotate_slowly(k[j, part], source_position(j))
                scores.append((query * key).sum() / math.sqrt(size))
            weights = torch.stack(scores).softmax(0)
            heads.append(sum(w * v[j, part] for w, j in zip(weights, keys, strict=True)))
        rows.append(attn.o(torch.cat(heads)))
    return torch.stack(rows)


def fill(module: torch.nn.Module) -> None:
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.3)


def timeline(video, audio):
    return Timeline(torch.tensor(video), torch.tensor(audio), max(video), max(audio), rows=1, columns=TOKENS)


def dims(depth=1, geometry=None, heads=HEADS):
    geometry = geometry or Geometry()
    positions = LatentPositions(geometry)
    return InteractionDims(VIDEO_WIDTH, AUDIO_WIDTH, heads, depth, geometry, HEADS, HEADS, positions)


def ratio_positions(geometry, frames):
    scale = frames / (geometry.pixel_frames(frames) / geometry.fps * geometry.sample_rate_hz / geometry.audio_hop)
    return scale, lambda i: i, lambda j: j * scale, lambda i: i / scale, lambda j: j


def seconds_positions(geometry, frames):
    def video_mid(i):
        start, end = (0, 1) if i == 0 else (1 + 4 * (i - 1), 1 + 4 * i)
        return (start + end) / 2 / geometry.fps

    def audio_mid(j):
        return (j + 0.5) * geometry.audio_hop / geometry.sample_rate_hz

    video_rate, audio_rate = geometry.fps / 4, geometry.sample_rate_hz / geometry.audio_hop
    return (
        None,
        lambda i: video_mid(i) * video_rate,
        lambda j: audio_mid(j) * video_rate,
        lambda i: video_mid(i) * audio_rate,
        lambda j: audio_mid(j) * audio_rate,
    )


def owner_slowly(kind, geometry, frames, j):
    """The latent frame that audio latent j falls into."""
    if kind == "seconds":
        time = (j + 0.5) * geometry.audio_hop / geometry.sample_rate_hz
        for i in range(frames):
            if time < (1 + 4 * i) / geometry.fps:
                return i
        return frames - 1
    scale = ratio_positions(geometry, frames)[0]
    return min(frames - 1, math.floor(j * scale + 1e-9))


CASES = [
    pytest.param(Geometry(), (5,), (26,), id="small"),
    pytest.param(Geometry(), (6, 3), (26, 11), id="ragged"),
    pytest.param(Geometry(), (28,), (136,), id="paper-28-136"),
    pytest.param(Geometry(fps=24.0), (31,), (157,), id="ovi-31-157"),
    pytest.param(Geometry(fps=24.0, audio_hop=640), (7,), (25,), id="nava-25hz"),
]


@pytest.mark.parametrize(("geometry", "video_lengths", "audio_lengths"), CASES)
@pytest.mark.parametrize("kind", ["ratio", "seconds", "none"])
def test_frame_wise_interaction_is_the_loop_over_tokens(geometry, video_lengths, audio_lengths, kind):
    alignment = {"ratio": RatioAlignment(), "seconds": SecondsAlignment(), "none": NoAlignment()}[kind]
    module = FrameWiseInteraction(dims(geometry=geometry), alignment=alignment, audio_margin=2, video_margin=1)
    fill(module)
    g = torch.Generator().manual_seed(0)
    line = timeline(video_lengths, audio_lengths)
    video = torch.randn(len(video_lengths), line.video_size, TOKENS, VIDEO_WIDTH, generator=g)
    audio = torch.randn(len(video_lengths), line.audio_size, AUDIO_WIDTH, generator=g)
    with torch.no_grad():
        to_video, to_audio = module.updates(0, video, audio, module.plan(line))
    layer = module.layers[0]
    for b, (frames, latents) in enumerate(zip(video_lengths, audio_lengths, strict=True)):
        positions = {"ratio": ratio_positions, "seconds": seconds_positions, "none": ratio_positions}[kind]
        _, video_on_v, audio_on_v, video_on_a, audio_on_a = positions(geometry, frames)
        rotate = kind != "none"
        owner = [owner_slowly(kind, geometry, frames, j) for j in range(latents)]

        def sees_audio(q, j, owner=owner, latents=latents):
            own = [k for k in range(latents) if owner[k] == q // TOKENS]
            assert own
            return own[0] - 2 <= j <= own[-1] + 2

        def sees_video(j, k, owner=owner):
            return abs(owner[j] - k // TOKENS) <= 1

        flat, sound = video[b, :frames].flatten(0, 1), audio[b, :latents]
        with torch.no_grad():
            expected_video = attend_slowly(
                layer.audio_to_video,
                flat,
                sound,
                sees_audio,
                (lambda q, f=video_on_v: f(q // TOKENS)) if rotate else None,
                audio_on_v if rotate else None,
            )
            expected_audio = attend_slowly(
                layer.video_to_audio,
                sound,
                flat,
                sees_video,
                audio_on_a if rotate else None,
                (lambda k, f=video_on_a: f(k // TOKENS)) if rotate else None,
            )
        torch.testing.assert_close(to_video[b, :frames].flatten(0, 1), expected_video, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(to_audio[b, :latents], expected_audio, atol=1e-5, rtol=1e-5)


def test_global_interaction_is_the_loop_over_all_tokens():
    module = GlobalInteraction(dims())
    fill(module)
    line = timeline((4, 2), (13, 7))
    video, audio = torch.randn(2, 4, TOKENS, VIDEO_WIDTH), torch.randn(2, 13, AUDIO_WIDTH)
    with torch.no_grad():
        to_video, to_audio = module.updates(0, video, audio, module.plan(line))
        for b, (frames, latents) in enumerate(((4, 13), (2, 7))):
            flat, sound = video[b, :frames].flatten(0, 1), audio[b, :latents]
            a2v = attend_slowly(module.layers[0].audio_to_video, flat, sound, lambda q, k: True)
            v2a = attend_slowly(module.layers[0].video_to_audio, sound, flat, lambda q, k: True)
            torch.testing.assert_close(to_video[b, :frames].flatten(0, 1), a2v, atol=1e-5, rtol=1e-5)
            torch.testing.assert_close(to_audio[b, :latents], v2a, atol=1e-5, rtol=1e-5)


def test_global_style_lets_the_reference_see_all_valid_video_tokens():
    module = GlobalStyle(dims(depth=2))
    fill(module)
    line = timeline((4, 2), (13, 7))
    video, reference = torch.randn(2, 4, TOKENS, VIDEO_WIDTH), torch.randn(2, 3, AUDIO_WIDTH)
    with torch.no_grad():
        update = module(0, reference, video, module.plan(line))
        for b, frames in enumerate((4, 2)):
            expected = attend_slowly(module.layers[0], reference[b], video[b, :frames].flatten(0, 1), lambda q, k: True)
            torch.testing.assert_close(update[b], expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", [FrameWiseInteraction, GlobalInteraction])
def test_a_fresh_interaction_changes_nothing(kind):
    module = kind(dims())
    line = timeline((3,), (11,))
    video, audio = torch.randn(1, 3, TOKENS, VIDEO_WIDTH), torch.randn(1, 11, AUDIO_WIDTH)
    after = module(0, video, audio, module.plan(line))
    assert torch.equal(after[0], video) and torch.equal(after[1], audio)


def test_heads_that_do_not_divide_a_width_are_refused():
    with pytest.raises(ValueError, match="must divide both widths, 16 and 12"):
        GlobalInteraction(dims(heads=8))
