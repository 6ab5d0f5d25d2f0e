"""Ovi's step against a slow reference, written sample by sample and token by token from its published facts."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch

from harmony_lit.containers import AudioLatents, Batch, Conditions, TextEmbeds, TokenIds, VideoLatents
from harmony_lit.geometry import Geometry
from harmony_lit.model import CrossBlock, MMDiTBlock, TranscriptEncoder, VideoTimePositions
from harmony_lit.model.audio_blocks import AudioBlockDims, AudioState
from harmony_lit.model.interaction import FrameWiseInteraction, GlobalStyle, OviFusion
from harmony_lit.model.text import Text
from harmony_lit.pretrained import Piece, load_pieces
from harmony_lit.pretrained.ovi import OVI, rename
from harmony_lit.pretrained.source import Tensors
from tests.harmony_lit.ovi_layout import AUDIO_CHANNELS, SMALL, VIDEO_CHANNELS, Size, ovi_model, published_weights

FRAMES, LATENTS, ROWS, COLUMNS = (3, 2), (15, 10), 2, 3
SCALE = 0.19676


class Part:
    """Tensors of a checkpoint below a prefix."""

    def __init__(self, weights, prefix):
        self.weights, self.prefix = weights, prefix

    def __getitem__(self, name):
        return self.weights[self.prefix + name]

    def below(self, name):
        return Part(self.weights, f"{self.prefix}{name}.")

    def linear(self, name, x):
        return x @ self[f"{name}.weight"].T + self[f"{name}.bias"]


def gelu(x):
    return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def silu(x):
    return x / (1 + torch.exp(-x))


def layer_norm(x):
    x = x - x.mean(-1, keepdim=True)
    return x / (x.square().mean(-1, keepdim=True) + 1e-6).sqrt()


def rms_norm(x, weight):
    return x / (x.square().mean(-1, keepdim=True) + 1e-6).sqrt() * weight


def convolve(x, weight, bias=None):
    """x (T, C) with zeros around it, weight (D, C, 7)."""
    rows = []
    for i in range(x.shape[0]):
        row = torch.zeros(weight.shape[0]) if bias is None else bias.clone()
        for tap in range(7):
            if 0 <= i + tap - 3 < x.shape[0]:
                row = row + weight[:, :, tap] @ x[i + tap - 3]
        rows.append(row)
    return torch.stack(rows)


def turn(vector, place):
    """One head (E,) turned at ``place``: an audio latent's index, or a video token's (frame, row, column)."""
    pairs = vector.shape[0] // 2
    side = pairs // 3
    axes = (pairs - 2 * side, side, side)
    where = place if isinstance(place, tuple) else (SCALE * place, 0, 0)
    out, pair = vector.clone(), 0
    for position, count in zip(where, axes, strict=True):
        for i in range(count):
            angle = position * 10_000 ** (-i / count)
            a, b = vector[2 * pair], vector[2 * pair + 1]
            out[2 * pair] = a * math.cos(angle) - b * math.sin(angle)
            out[2 * pair + 1] = a * math.sin(angle) + b * math.cos(angle)
            pair += 1
    return out


def attend(q, k, v, q_places=None, k_places=None):
    """q (Lq, D), k and v (Lk, D) -> (Lq, D), a loop over heads and queries."""
    size = q.shape[1] // SMALL.heads
    out = torch.empty_like(q)
    for head in range(SMALL.heads):
        part = slice(head * size, (head + 1) * size)
        keys = k[:, part]
        if k_places is not None:
            keys = torch.stack([turn(key, place) for key, place in zip(keys, k_places, strict=True)])
        for i in range(q.shape[0]):
            query = q[i, part] if q_places is None else turn(q[i, part], q_places[i])
            out[i, part] = (keys @ query / math.sqrt(size)).softmax(0) @ v[:, part]
    return out


def self_attention(block, x, e, places):
    at = block.below("self_attn")
    y = layer_norm(x) * (1 + e[:, 1]) + e[:, 0]
    q, k = rms_norm(at.linear("q", y), at["norm_q.weight"]), rms_norm(at.linear("k", y), at["norm_k.weight"])
    return x + at.linear("o", attend(q, k, at.linear("v", y), places, places)) * e[:, 2]


def fused_cross_attention_and_ffn(block, x, e, places, text, y, y_places):
    at = block.below("cross_attn")
    h = layer_norm(x) * block["norm3.weight"] + block["norm3.bias"]
    q = rms_norm(at.linear("q", h), at["norm_q.weight"])
    found = attend(q, rms_norm(at.linear("k", text), at["norm_k.weight"]), at.linear("v", text))
    other = layer_norm(y) * at["pre_attn_norm_fusion.weight"] + at["pre_attn_norm_fusion.bias"]
    k = rms_norm(at.linear("k_fusion", other), at["norm_k_fusion.weight"])
    found = found + attend(q, k, at.linear("v_fusion", other), places, y_places)
    x = x + at.linear("o", found)
    h = layer_norm(x) * (1 + e[:, 4]) + e[:, 3]
    return x + block.linear("ffn.2", gelu(block.linear("ffn.0", h))) * e[:, 5]


def time_and_text(tower, t_tokens, caption):
    """Each token's time (L, D) and modulation (L, 6, D), and the text (text_len, D): zeros are embedded like words."""
    rows = []
    for t in t_tokens:
        angles = [1000 * t * 10_000 ** (-i / (SMALL.freq // 2)) for i in range(SMALL.freq // 2)]
        rows.append(torch.tensor([math.cos(a) for a in angles] + [math.sin(a) for a in angles]))
    e = tower.linear("time_embedding.2", silu(tower.linear("time_embedding.0", torch.stack(rows))))
    padded = torch.zeros(SMALL.text_len, SMALL.caption)
    padded[: len(caption)] = caption
    text = tower.linear("text_embedding.2", gelu(tower.linear("text_embedding.0", padded)))
    return e, tower.linear("time_projection.1", silu(e)).unflatten(-1, (6, SMALL.width)), text


def head(tower, x, e):
    modulation = tower["head.modulation"][0]
    return tower.linear("head.head", layer_norm(x) * (1 + e + modulation[1]) + e + modulation[0])


def ovi_step(weights, video, audio, t, image, video_caption, audio_caption):
    """One sample: video (C, T, 2 rows, 2 columns), audio (C, A), ``image`` whether the first frame is clean."""
    v, a = Part(weights, "video_model."), Part(weights, "audio_model.")
    tokens, places, times = [], [], []
    for frame in range(video.shape[1]):
        for row in range(ROWS):
            for column in range(COLUMNS):
                patch = video[:, frame, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
                weight = v["patch_embedding.weight"][:, :, 0]
                tokens.append((weight * patch).sum((1, 2, 3)) + v["patch_embedding.bias"])
                places.append((frame, row, column))
                times.append(0.0 if image and frame == 0 else t)
    x = torch.stack(tokens)
    v_time, v_e0, v_text = time_and_text(v, times, video_caption)
    y = silu(convolve(audio.T, a["patch_embedding.0.weight"], a["patch_embedding.0.bias"]))
    gate, up = (convolve(y, a[f"patch_embedding.2.{w}.weight"]) for w in ("w1", "w3"))
    y = convolve(silu(gate) * up, a["patch_embedding.2.w2.weight"])
    y_places = list(range(audio.shape[1]))
    a_time, a_e0, a_text = time_and_text(a, [t] * audio.shape[1], audio_caption)
    for layer in range(SMALL.depth):
        vb, ab = v.below(f"blocks.{layer}"), a.below(f"blocks.{layer}")
        v_e, a_e = v_e0 + vb["modulation.modulation"], a_e0 + ab["modulation.modulation"]
        x, y = self_attention(vb, x, v_e, places), self_attention(ab, y, a_e, y_places)
        x, y = (
            fused_cross_attention_and_ffn(vb, x, v_e, places, v_text, y, y_places),
            fused_cross_attention_and_ffn(ab, y, a_e, y_places, a_text, x, places),
        )
    out = torch.zeros_like(video)
    for token, (frame, row, column) in zip(head(v, x, v_time), places, strict=True):
        for p in range(2):
            for q in range(2):
                start = (2 * p + q) * VIDEO_CHANNELS
                out[:, frame, 2 * row + p, 2 * column + q] = token[start : start + VIDEO_CHANNELS]
    return out, head(a, y, a_time).T


def make_batch(transcript: int = 0, reference: int = 0) -> Batch:
    """Two samples of different lengths; the first has an image, and the reference and transcript asked for."""
    g = torch.Generator().manual_seed(0)
    size = (2 * ROWS, 2 * COLUMNS)

    def caption(*lengths):
        mask = torch.arange(max(lengths))[None] < torch.tensor(lengths)[:, None]
        return TextEmbeds(torch.randn(2, max(lengths), SMALL.caption, generator=g) * mask[..., None], mask)

    first = torch.tensor([True, False])
    return Batch(
        video=VideoLatents(torch.randn(2, VIDEO_CHANNELS, max(FRAMES), *size, generator=g), torch.tensor(FRAMES)),
        audio=AudioLatents(torch.randn(2, AUDIO_CHANNELS, max(LATENTS), generator=g), torch.tensor(LATENTS)),
        conditions=Conditions(
            video_caption=caption(4, 2),
            audio_caption=caption(3, 5),
            transcript=TokenIds(torch.randint(1, 20, (2, 6), generator=g), (torch.arange(6) < transcript).expand(2, 6)),
            reference_audio=AudioLatents(torch.randn(2, AUDIO_CHANNELS, 4, generator=g), first * reference),
            reference_image=torch.randn(2, VIDEO_CHANNELS, *size, generator=g),
            has_image=first,
        ),
    )


def run(model, batch, t=(0.7, 0.3)):
    times = torch.tensor(t)
    with torch.no_grad():
        return model(batch.video, batch.audio, times, times, batch.conditions)


def load(model, parts=("",), may_be_missing=()):
    published = Tensors(Path("ovi"), published_weights(SMALL))
    load_pieces(model, [Piece(published, OVI, only=part) for part in parts], may_be_missing)
    return model


def test_the_baseline_is_ovis_step():
    batch, t = make_batch(), (0.7, 0.3)
    out = run(load(ovi_model(SMALL)), batch, t)
    c = batch.conditions
    for row in range(2):
        video = batch.video.x[row, :, : FRAMES[row]].clone()
        if c.has_image[row]:
            video[:, 0] = c.reference_image[row]
        audio = batch.audio.x[row, :, : LATENTS[row]]
        captions = [text.x[row, : int(text.mask[row].sum())] for text in (c.video_caption, c.audio_caption)]
        expected = ovi_step(published_weights(SMALL), video, audio, t[row], bool(c.has_image[row]), *captions)
        torch.testing.assert_close(out.video[row, :, : FRAMES[row]], expected[0], atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(out.audio[row, :, : LATENTS[row]], expected[1], atol=1e-4, rtol=1e-4)
        assert expected[0].std() > 0.3 and expected[1].std() > 0.3


def harmony_from_ovi(null_reference=3):
    """Harmony's joint stage with Ovi's towers; transcript, null reference and interaction are fresh."""
    torch.manual_seed(0)
    audio = {"transcript": partial(TranscriptEncoder, width=8, layers=1), "null_reference": null_reference}
    return ovi_model(SMALL, audio, interaction=FrameWiseInteraction, style=GlobalStyle)


TOWERS = ("video.", "audio.")
FRESH = ("audio.transcript*", "audio.null_reference", "interaction.*", "style.*")


def test_harmonys_joint_stage_starts_from_ovis_towers():
    model = harmony_from_ovi()
    source = Tensors(Path("ovi"), published_weights(SMALL))
    fresh = load_pieces(model, [Piece(source, OVI, only=tower) for tower in TOWERS], FRESH)
    published = {rename(name): tensor for name, tensor in published_weights(SMALL).items() if "fusion" not in name}
    state = model.state_dict()
    assert all(torch.equal(state[name], tensor) for name, tensor in published.items())
    assert set(fresh) == set(state) - set(published)
    assert {name.split(".")[0] for name in fresh} == {"audio", "interaction", "style"}


def test_a_fresh_interaction_leaves_both_towers_as_they_are_alone():
    model, batch = load(harmony_from_ovi(), TOWERS, FRESH), make_batch(transcript=4, reference=3)
    together = run(model, batch)
    alone = run(model, replace(batch, video=None))
    times = torch.tensor([[0.0, 0.7, 0.7], [0.3, 0.3, 0.3]])
    held = batch.video.x.clone()
    held[0, :, 0] = batch.conditions.reference_image[0]
    with torch.no_grad():
        video = model.video(batch.video.with_x(held), times, batch.conditions.video_caption)
    assert torch.equal(together.audio, alone.audio)
    assert torch.equal(together.video, video)


def test_without_reference_and_transcript_harmonys_start_is_ovis_towers_alone():
    """A fresh ``OviFusion`` adds nothing either: both models are the published towers side by side."""
    batch = make_batch(transcript=0, reference=0)
    harmony = load(harmony_from_ovi(null_reference=0), TOWERS, FRESH)
    ovi = load(ovi_model(SMALL), TOWERS, ("interaction.*",))
    ours, theirs = run(harmony, batch), run(ovi, batch)
    for row in range(2):
        frames, latents = FRAMES[row], LATENTS[row]
        torch.testing.assert_close(ours.video[row, :, :frames], theirs.video[row, :, :frames], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(ours.audio[row, :, :latents], theirs.audio[row, :, :latents], atol=1e-5, rtol=1e-5)


def test_every_fresh_part_of_the_start_learns():
    model, batch = load(harmony_from_ovi(), TOWERS, FRESH), make_batch(transcript=4, reference=3)
    t = torch.tensor([0.7, 0.3])
    out = model(batch.video, batch.audio, t, t, batch.conditions)
    (out.video.square().mean() + out.audio.square().mean()).backward()
    for name in (
        "audio.null_reference",
        "audio.transcript_embedding.weight",
        "interaction.layers.0.audio_to_video.attn.o.weight",
        "interaction.layers.0.video_to_audio.attn.o.weight",
        "style.layers.0.attn.o.weight",
    ):
        assert model.get_parameter(name).grad.abs().max() > 0, name


def test_what_is_fused_reaches_the_noisy_latents_and_not_the_reference():
    block = CrossBlock(AudioBlockDims(width=24, ffn_width=48, heads=2, last=False))
    x, seen = torch.randn(1, 7, 24), []
    part = torch.zeros(1, 1, 6, 24)
    state = AudioState(part, part, part[:, :, 0], 3, 7, None, None, Text(torch.randn(1, 4, 24), None))

    def within(q):
        seen.append(q.shape)
        return torch.ones_like(q)

    with torch.no_grad():
        changed = block.cross_attend(x, state, within) != block.cross_attend(x, state)
    assert seen == [(1, 2, 4, 12)]
    assert not changed[:, :3].any() and changed[:, 3:].any(dim=-1).all()


def test_audio_latents_stand_on_the_videos_clock():
    positions = VideoTimePositions(Geometry(fps=25.0))
    assert positions.scale == pytest.approx(SCALE, abs=1e-6)
    assert VideoTimePositions(Geometry(), fps=25.0, frames=109).scale == pytest.approx(28 / 136.25)
    turned = positions.rotation(torch.arange(314)[None], 128)
    angles = torch.view_as_complex(turned).angle() if turned.shape[-1] == 2 else turned.angle()
    assert angles.shape == (1, 1, 314, 64)
    assert not angles[..., 22:].any() and angles[0, 0, 1:, :22].all()
    expected = SCALE * torch.arange(16)[:, None] * 10_000 ** (-torch.arange(22) / 22)
    torch.testing.assert_close(angles[0, 0, :16, :22], expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("width", [3072, 1536])
@pytest.mark.parametrize(("block", "interaction"), [(CrossBlock, OviFusion), (MMDiTBlock, FrameWiseInteraction)])
def test_audio_towers_of_both_widths_build_beside_the_full_video_tower(width, block, interaction):
    with torch.device("meta"):
        audio = {"width": width, "heads": width // 128, "block": block}
        model = ovi_model(replace(Size(), depth=2), audio, interaction=interaction)
    assert model.audio.head.head.weight.shape == (20, width)
    if interaction is OviFusion:
        assert model.get_parameter("interaction.layers.1.audio_to_video.k.weight").shape == (3072, width)
        assert model.get_parameter("interaction.layers.1.video_to_audio.norm.weight").shape == (3072,)


def test_blocks_whose_text_attends_jointly_refuse_a_fusion_within():
    batch = make_batch()
    with pytest.raises(ValueError, match="MMDiTBlock has no cross-attention for this interaction: use CrossBlock"):
        run(ovi_model(SMALL, {"block": MMDiTBlock}), batch)
