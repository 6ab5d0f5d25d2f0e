"""Steps of a transformer block that keep less for backward than PyTorch's own, with the same numbers.

What is cheap to compute again is not kept: a normalised input. Each is an autograd function of plain
PyTorch operators, so that it runs on every device, composes with activation checkpointing and saved-tensor hooks, and
the compiler, which decides for itself what to keep, is given the plain operators instead.

Shape legend: B batch, T frames, S tokens of a frame, D width.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


class _RMSNorm(torch.autograd.Function):
    """Keeps x; for CPUs, where PyTorch's own is composed of many small kernels that each keep something.

    Sums are in fp32, products in x's own dtype: what autocast gives in bfloat16 stays so, without copies.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        wide = torch.promote_types(x.dtype, torch.float32)
        norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=wide)
        inverse = norm.square_().div_(x.shape[-1]).add_(eps).rsqrt_().to(x.dtype)
        weight = weight.to(x.dtype)
        ctx.save_for_backward(x, weight, inverse)
        return (x * inverse).mul_(weight)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor, Tensor, None]:
        x, weight, inverse = ctx.saved_tensors
        grad, unit = grads[0], x * inverse
        product = grad * unit
        grad_weight = product.flatten(0, -2).sum(dim=0, dtype=torch.promote_types(x.dtype, torch.float32))
        projection = product.mul_(weight).mean(dim=-1, keepdim=True)
        return (grad * weight).sub_(unit.mul_(projection)).mul_(inverse), grad_weight, None


class _ModulatedNorm(torch.autograd.Function):
    """Keeps x, which the residual stream holds anyway, and the scale; normalises again in backward."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, shift: Tensor, scale: Tensor, eps: float) -> Tensor:
        ctx.save_for_backward(x, scale)
        ctx.eps, ctx.shift_shape = eps, shift.shape
        unit = _normalise(x, eps)[0]
        return torch.addcmul(shift, unit, 1 + scale, out=unit)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor | None, Tensor | None, Tensor | None, None]:
        (x, scale), grad = ctx.saved_tensors, grads[0]
        unit, mean, inverse = _normalise(x, ctx.eps)
        grad_x = grad_shift = grad_scale = None
        if ctx.needs_input_grad[0]:
            scaled = (grad * (1 + scale)).to(x.dtype)
            shape, wanted = [x.shape[-1]], [True, False, False]
            grad_x = torch.ops.aten.native_layer_norm_backward(scaled, x, shape, mean, inverse, None, None, wanted)[0]
        if ctx.needs_input_grad[1]:
            grad_shift = grad.sum_to_size(ctx.shift_shape)
        if ctx.needs_input_grad[2]:
            grad_scale = unit.mul_(grad).sum_to_size(scale.shape)
        return grad_x, grad_shift, grad_scale, None


def _normalise(x: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    """x normalised over its last axis in x's dtype (autocast would make an fp32 copy), mean and inverse deviation."""
    with torch.autocast(x.device.type, enabled=False):
        return torch.native_layer_norm(x, [x.shape[-1]], None, None, eps)


def modulated_norm(x: Tensor, shift: Tensor, scale: Tensor, eps: float = 1e-6) -> Tensor:
    """AdaLN: x (..., D), normalised over D, times ``1 + scale`` plus ``shift``, both broadcast to x's shape."""
    if torch.compiler.is_compiling():
        return torch.addcmul(shift, F.layer_norm(x, (x.shape[-1],), eps=eps), 1 + scale)
    y: Tensor = _ModulatedNorm.apply(x, shift, scale, eps)
    return y


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """x (..., D) over its root mean square, times ``weight`` (D,): summed in fp32, returned in x's dtype."""
    if x.device.type == "cpu" and not torch.compiler.is_compiling():
        y: Tensor = _RMSNorm.apply(x, weight, eps)
        return y
    with torch.autocast(x.device.type, enabled=False):
        return F.rms_norm(x, (x.shape[-1],), weight.to(x.dtype), eps)
