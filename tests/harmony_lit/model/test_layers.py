from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from harmony_lit.containers import TokenIds
from harmony_lit.model.layers import RMSNorm, mask_bias, sinusoidal_embedding
from harmony_lit.model.rope import rotate, time_rotation, video_rotation
from harmony_lit.model.transcript import TranscriptEncoder


def test_rms_norm_and_its_gradients_are_pytorchs():
    x = torch.randn(2, 3, 8, requires_grad=True)
    norm = RMSNorm(8)
    torch.nn.init.normal_(norm.weight)
    expected = F.rms_norm(x, (8,), norm.weight, norm.eps)
    grad = torch.randn_like(x)
    ours = torch.autograd.grad(norm(x), (x, norm.weight), grad)
    theirs = torch.autograd.grad(expected, (x, norm.weight), grad)
    torch.testing.assert_close(norm(x), expected)
    torch.testing.assert_close(ours, theirs)


def test_a_query_without_keys_stays_finite():
    bias = mask_bias(torch.tensor([[False, False], [True, False]]))
    assert bias.tolist() == [[0, 0], [0, -math.inf]]


def test_rotation_keeps_lengths_and_depends_on_the_difference_of_positions():
    q, k = torch.randn(1, 1, 1, 8), torch.randn(1, 1, 1, 8)

    def score(at_q, at_k):
        turned = (
            rotate(q, time_rotation(torch.tensor([[at_q]]), 8)),
            rotate(k, time_rotation(torch.tensor([[at_k]]), 8)),
        )
        return (turned[0] * turned[1]).sum()

    torch.testing.assert_close(score(3.25, 1.0), score(10.25, 8.0))
    torch.testing.assert_close(rotate(q, time_rotation(torch.tensor([[7.5]]), 8)).norm(), q.norm())


def test_video_rotation_follows_frame_row_column_order():
    turn = video_rotation(2, 3, 4, 12, torch.device("cpu"))[0, 0]
    turn = torch.view_as_complex(turn).angle()
    token = (1 * 3 + 2) * 4 + 3
    assert turn.shape == (24, 6)
    torch.testing.assert_close(turn[token, [0, 2, 4]], torch.tensor([1.0, 2.0, 3.0]))


def test_sinusoids_are_cosines_then_sines():
    embedding = sinusoidal_embedding(torch.tensor([2.0]), 4)
    expected = [math.cos(2), math.cos(0.02), math.sin(2), math.sin(0.02)]
    torch.testing.assert_close(embedding[0], torch.tensor(expected))


def test_a_transcript_does_not_depend_on_its_padding():
    encoder = TranscriptEncoder(10, width=8, layers=2)
    for block in encoder.blocks:
        torch.nn.init.normal_(block.grn.gamma)
    ids = torch.tensor([[3, 4, 5]])
    short = encoder(TokenIds(ids, torch.ones(1, 3, dtype=torch.bool)))
    padded = encoder(TokenIds(F.pad(ids, (0, 4)), torch.arange(7)[None] < 3))
    torch.testing.assert_close(padded[:, :3], short)
    assert not padded[:, 3:].any()
