"""The video tower against diffusers' Wan transformer with per-token timesteps (Wan2.2-TI2V)."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from harmony_lit.containers import TextEmbeds, VideoLatents
from harmony_lit.errors import UserError
from harmony_lit.perf.diffusers_wan import (
    Shape,
    gradients,
    make_inputs,
    make_ours,
    make_theirs,
    run_ours,
    run_theirs,
)
from harmony_lit.pretrained.wan import from_diffusers

SMALL = Shape(
    width=48, layers=2, head_dim=24, ffn_width=80, freq_dim=32, channels=6, caption_dim=20, batch=2, frames=3, rows=3,
    cols=5, text_len=7,
)  # fmt: skip
SHAPES = [
    SMALL,
    replace(SMALL, head_dim=16, ffn_width=100, channels=3, frames=1, rows=5, cols=3, text_len=4),
    replace(SMALL, width=60, head_dim=10, layers=3, frames=5, rows=1, cols=7, text_len=12, caption_dim=9),
    replace(SMALL, width=64, head_dim=64, layers=1, frames=4, rows=7, cols=9),
]
CPU = torch.device("cpu")


def relative(ours, theirs):
    return ((ours - theirs).abs().max() / theirs.abs().max()).item()


@pytest.mark.parametrize("shape", SHAPES)
def test_forward_and_all_gradients_are_diffusers(shape):
    tower, model = make_ours(shape, CPU, torch.float32), make_theirs(shape, CPU, torch.float32)
    inputs, same = (make_inputs(shape, CPU, torch.float32) for _ in range(2))
    assert (inputs.t[:, 0] == 0).all() and (shape.frames == 1 or (inputs.t[:, 1:] > 0).all())
    ours, theirs = run_ours(tower, inputs), run_theirs(model, same)
    assert relative(ours, theirs) < 1e-4
    ours.backward(inputs.grad)
    theirs.backward(same.grad)
    got, expected = gradients(tower, inputs, str), gradients(model, same, from_diffusers)
    assert got.keys() == expected.keys() and len(got) == len(list(tower.parameters())) + 1
    worst = max(got, key=lambda name: relative(got[name], expected[name]))
    assert relative(got[worst], expected[worst]) < 1e-4, worst


def short_caption(size, text_len):
    inputs = make_inputs(SMALL, CPU, torch.float32)
    mask = torch.arange(size)[None] < torch.tensor([[size], [size - 2]])
    return replace(inputs, caption=TextEmbeds(torch.randn(2, size, SMALL.caption_dim), mask)), text_len


def test_text_len_pads_captions_with_zeros_that_are_attended_to_as_wan_does():
    tower, model = make_ours(SMALL, CPU, torch.float32), make_theirs(SMALL, CPU, torch.float32)
    inputs, _ = short_caption(4, SMALL.text_len)
    padded = torch.zeros(2, SMALL.text_len, SMALL.caption_dim)
    padded[0, :4], padded[1, :2] = inputs.caption.x[0], inputs.caption.x[1, :2]
    theirs = run_theirs(model, replace(inputs, caption=replace(inputs.caption, x=padded)))
    assert relative(run_ours(tower, inputs), theirs) < 1e-4
    tower.text_len = None
    assert relative(run_ours(tower, inputs), theirs) > 1e-3


def test_a_caption_longer_than_text_len_is_refused():
    inputs, _ = short_caption(9, SMALL.text_len)
    with pytest.raises(UserError, match="9 tokens do not fit 7"):
        run_ours(make_ours(SMALL, CPU, torch.float32), inputs)


def test_frames_beyond_a_samples_length_change_nothing():
    tower = make_ours(replace(SMALL, text_len=None), CPU, torch.float32)
    inputs = make_inputs(SMALL, CPU, torch.float32)
    x = inputs.latents.detach()
    ragged = VideoLatents(x, torch.tensor([3, 2]))
    short = VideoLatents(x[1:, :, :2], torch.tensor([2]), ragged=False)
    caption = TextEmbeds(inputs.caption.x[1:], inputs.caption.mask[1:])
    with torch.no_grad():
        together, alone = tower(ragged, inputs.t, inputs.caption), tower(short, inputs.t[1:, :2], caption)
    torch.testing.assert_close(together[1:, :, :2], alone, atol=1e-5, rtol=1e-4)


def test_compiled_blocks_give_the_same():
    tower = make_ours(SMALL, CPU, torch.float32)
    inputs = make_inputs(SMALL, CPU, torch.float32)
    expected = run_ours(tower, inputs)
    for block in tower.layers:
        block.compile(backend="aot_eager")
    compiled = run_ours(tower, inputs)
    torch.testing.assert_close(compiled, expected, atol=1e-5, rtol=1e-4)
