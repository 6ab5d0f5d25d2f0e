"""What keeps less for backward gives what the plain operators give."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch.autograd import gradcheck

from harmony_lit.model.lean import modulated_norm, rms_norm


def plain_modulated_norm(x, shift, scale):
    return F.layer_norm(x, (x.shape[-1],), eps=1e-6) * (1 + scale) + shift


def plain_rms_norm(x, weight):
    return F.rms_norm(x, (x.shape[-1],), weight, 1e-6)


PAIRS = {
    "modulated_norm": (modulated_norm, plain_modulated_norm, [(2, 3, 4, 6), (2, 3, 1, 6), (2, 3, 1, 6)]),
    "modulated_norm_of_one_frame": (modulated_norm, plain_modulated_norm, [(2, 5, 6), (2, 1, 6), (2, 1, 6)]),
    "rms_norm": (lambda x, w: rms_norm(x, w, 1e-6), plain_rms_norm, [(2, 3, 6), (6,)]),
}
pairs = pytest.mark.parametrize(("lean", "plain", "shapes"), PAIRS.values(), ids=PAIRS.keys())


def drawn(shapes, dtype):
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(s, generator=generator, dtype=torch.float64).to(dtype).requires_grad_() for s in shapes]


@pairs
def test_gradients_are_the_derivative(lean, plain, shapes):
    assert gradcheck(lean, drawn(shapes, torch.float64))


@pairs
def test_values_and_gradients_are_the_plain_operators(lean, plain, shapes):
    inputs = drawn(shapes, torch.float32)
    ours, theirs = lean(*inputs), plain(*inputs)
    torch.testing.assert_close(ours, theirs)
    grad = torch.randn_like(ours)
    torch.testing.assert_close(torch.autograd.grad(ours, inputs, grad), torch.autograd.grad(theirs, inputs, grad))


@pairs
def test_only_the_gradients_asked_for_are_computed(lean, plain, shapes):
    for index in range(len(shapes)):
        inputs = [x.detach() for x in drawn(shapes, torch.float32)]
        inputs[index].requires_grad_()
        expected = torch.autograd.grad(plain(*inputs).square().sum(), inputs[index])
        torch.testing.assert_close(torch.autograd.grad(lean(*inputs).square().sum(), inputs[index]), expected)


@pairs
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_autocast_changes_values_by_rounding_only_and_gradients_have_the_dtypes_of_the_leaves(
    lean, plain, shapes, dtype
):
    inputs = drawn(shapes, torch.float32)
    first = inputs[0].detach().to(dtype).requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        ours = lean(first, *inputs[1:])
        theirs = plain(first, *inputs[1:])
    grads = torch.autograd.grad(ours.float().sum(), [first, *inputs[1:]])
    torch.testing.assert_close(ours.float(), theirs.float(), atol=0.05, rtol=0.02)
    assert [g.dtype for g in grads] == [dtype] + [torch.float32] * (len(inputs) - 1)


def saved_bytes(function, inputs):
    kept = {}

    def keep(x):
        kept[x.untyped_storage().data_ptr()] = x.untyped_storage().nbytes()
        return x

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
        y = function(*inputs)
    del y
    return sum(kept.values())


@pytest.mark.parametrize(
    ("name", "shapes", "kept"),
    [
        ("modulated_norm", [(2, 3, 50, 64), (2, 3, 1, 64), (2, 3, 1, 64)], 1.05),
        ("rms_norm", [(2, 150, 64), (64,)], 1.05),
    ],
)
def test_one_tensor_is_kept_where_the_plain_operators_keep_more(name, shapes, kept):
    lean, plain, _ = PAIRS[name]
    inputs = drawn(shapes, torch.float32)
    size = inputs[0].untyped_storage().nbytes()
    assert saved_bytes(lean, inputs) < kept * size < 1.9 * size < saved_bytes(plain, inputs)
