from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest
import torch

from harmony_lit.containers import AudioLatents, VideoLatents
from harmony_lit.model import ConvProjection, CrossBlock, VideoTimePositions
from harmony_lit.model.dual_branch import hold_first_frame
from harmony_lit.model.interaction import GlobalInteraction, OviFusion
from tests.harmony_lit.builders import make_batch, make_model


def run(model, batch, t=0.5):
    times = torch.full((len(batch),), t)
    with torch.no_grad():
        return model(batch.video, batch.audio, times, times, batch.conditions)


def cut(batch, row, frames, latents):
    """One sample of a batch, without its padding."""

    def pick(value):
        return value[row : row + 1]

    c = batch.conditions

    def text(embeds):
        size = max(1, int(embeds.mask[row].sum()))
        return replace(embeds, **{f: pick(getattr(embeds, f))[:, :size] for f in vars(embeds)})

    return replace(
        batch,
        video=VideoLatents(pick(batch.video.x)[:, :, :frames], torch.tensor([frames]), ragged=False),
        audio=AudioLatents(pick(batch.audio.x)[:, :, :latents], torch.tensor([latents]), ragged=False),
        conditions=replace(
            c,
            video_caption=text(c.video_caption),
            audio_caption=text(c.audio_caption),
            transcript=text(c.transcript),
            reference_audio=AudioLatents(
                pick(c.reference_audio.x)[:, :, : max(1, int(c.reference_audio.lengths[row]))],
                pick(c.reference_audio.lengths),
            ),
            reference_image=pick(c.reference_image),
            has_image=pick(c.has_image),
        ),
    )


OVIS_AUDIO = {"block": CrossBlock, "projection": ConvProjection, "positions": VideoTimePositions, "text_len": 6}


@pytest.mark.parametrize(
    "parts",
    [
        {},
        {"interaction": GlobalInteraction, "style": None},
        {"interaction": OviFusion, "audio_parts": OVIS_AUDIO},
    ],
)
def test_a_sample_does_not_depend_on_the_padding_or_on_its_neighbours(parts):
    model = make_model(**parts)
    batch = make_batch((6, 4), (26, 16))
    together = run(model, batch)
    for row, (frames, latents) in enumerate(((6, 26), (4, 16))):
        alone = run(model, cut(batch, row, frames, latents))
        torch.testing.assert_close(together.video[row, :, :frames], alone.video[0], atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(together.audio[row, :, :latents], alone.audio[0], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("given", list(product([False, True], repeat=5)))
def test_any_combination_of_conditions_gives_finite_velocities_and_gradients(given):
    image, reference, transcript, video_caption, audio_caption = given
    model, batch = make_model(depth=1), make_batch()
    c = batch.conditions

    def empty_caption(embeds):
        return replace(embeds, x=embeds.x * 0, mask=torch.arange(5)[None].expand(2, -1) < 1)

    conditions = replace(
        c,
        has_image=torch.full((2,), image),
        reference_audio=replace(c.reference_audio, lengths=torch.full((2,), 4 if reference else 0)),
        transcript=c.transcript if transcript else replace(c.transcript, mask=torch.zeros_like(c.transcript.mask)),
        video_caption=c.video_caption if video_caption else empty_caption(c.video_caption),
        audio_caption=c.audio_caption if audio_caption else empty_caption(c.audio_caption),
    )
    t = torch.tensor([0.3, 0.9])
    out = model(batch.video, batch.audio, t, t, conditions)
    (out.video.square().mean() + out.audio.square().mean()).backward()
    assert torch.isfinite(out.video).all() and torch.isfinite(out.audio).all()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


def test_the_image_takes_the_first_latent_frame_at_t_zero_and_what_was_there_is_not_seen():
    model, batch = make_model(), make_batch()
    held, t = hold_first_frame(batch.video, torch.tensor([0.7, 0.7]), batch.conditions)
    assert torch.equal(held.x[0, :, 0], batch.conditions.reference_image[0])
    assert torch.equal(held.x[1], batch.video.x[1])
    assert t[0, 0] == 0 and (t[0, 1:] == 0.7).all() and (t[1] == 0.7).all()
    other = batch.video.x.clone()
    other[0, :, 0] += 5
    changed = run(model, replace(batch, video=batch.video.with_x(other)))
    assert torch.equal(run(model, batch).video, changed.video)


def test_the_audio_branch_runs_alone():
    model, batch = make_model(), make_batch()
    alone = run(model, replace(batch, video=None))
    assert alone.video is None and alone.audio.shape == batch.audio.x.shape


def test_only_the_reference_carries_style_from_far_frames_into_the_sound():
    """Without style, a sound far from a changed frame stays as it was: frame-wise attention is local (one layer)."""
    model = make_model(depth=1, style=None)
    batch = make_batch((9,), (50,))
    before = run(model, batch).audio
    x = batch.video.x.clone()
    x[:, :, 8] += 3
    # The video's own attention mixes frames, so look at the interaction of a model whose video attention is cut.
    torch.nn.init.zeros_(model.video.blocks[0].self_attn.o.weight)
    torch.nn.init.zeros_(model.video.blocks[0].self_attn.o.bias)
    before = run(model, batch).audio
    after = run(model, replace(batch, video=batch.video.with_x(x))).audio
    changed = (after - before).abs().amax(dim=(0, 1)) > 1e-6
    assert changed[40:].any() and not changed[:30].any()


def loss_and_gradients(model, batch):
    model.zero_grad()
    t = torch.tensor([0.3, 0.9])
    out = model(batch.video, batch.audio, t, t, batch.conditions)
    loss = out.video.square().mean() + out.audio.square().mean()
    loss.backward()
    return loss, {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("parts", [{}, {"interaction": OviFusion, "audio_parts": OVIS_AUDIO}])
@pytest.mark.parametrize("every", [1, 2])
def test_checkpointed_layers_give_the_same_bits_and_are_computed_again(every, parts):
    model, batch = make_model(depth=3, **parts), make_batch()
    loss, expected = loss_and_gradients(model, batch)
    calls = []
    for block in model.video.layers:
        block.ffn.register_forward_hook(lambda *_: calls.append(1))
    model.checkpoint_blocks = every
    again, got = loss_and_gradients(model, batch)
    assert torch.equal(loss, again) and got.keys() == expected.keys()
    assert all(torch.equal(got[name], expected[name]) for name in got)
    assert len(calls) == 3 + (3 if every == 1 else 2)
    audio_only = replace(batch, video=None)
    assert torch.isfinite(run(model, audio_only).audio).all()


@pytest.mark.slow
def test_compiled_layers_give_the_same_and_are_compiled_once_for_all(monkeypatch):
    compiled = []

    def compile_eagerly(step):
        compiled.append(step)
        return torch._dynamo.optimize("eager")(step)

    monkeypatch.setattr(torch, "compile", compile_eagerly)
    model, batch = make_model(), make_batch()
    loss, expected = loss_and_gradients(model, batch)
    model.compile_blocks = True
    again, got = loss_and_gradients(model, batch)
    torch.testing.assert_close(again, loss)
    assert len(compiled) == 4 and got.keys() == expected.keys()
    for name in got:
        torch.testing.assert_close(got[name], expected[name], atol=1e-5, rtol=1e-3)
