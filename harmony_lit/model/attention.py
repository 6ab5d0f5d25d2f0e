"""Scaled dot-product attention, and the choice of the kernel that computes it.

Shape legend: B batch, N heads, L tokens, E head width.
"""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from harmony_lit.errors import UserError

AttentionBackend = Literal["auto", "flash", "efficient", "math", "cudnn"]
"""``auto`` leaves the choice to PyTorch; the others are its kernels by name."""

PLAIN_ATTENTION_MAX_TOKENS = 768
_KERNELS = {
    "flash": SDPBackend.FLASH_ATTENTION,
    "efficient": SDPBackend.EFFICIENT_ATTENTION,
    "math": SDPBackend.MATH,
    "cudnn": SDPBackend.CUDNN_ATTENTION,
}
_ONLY_ON_CUDA = ("efficient", "cudnn")


def attention(
    q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None = None, backend: AttentionBackend = "auto"
) -> Tensor:
    """softmax(q k^T / sqrt(E) + bias) v over (B, N, L, E); ``bias`` broadcasts to (B, N, Lq, Lk).

    With ``auto``, short sequences on a CPU take the unfused product, whose backward is about three times faster there
    than the fused kernel's. ``flash`` takes no mask on CUDA: what is masked is then left to PyTorch's choice.

    Raises:
        UserError: If ``backend`` names a kernel that the device does not have.
    """
    on_cpu = q.device.type == "cpu"
    bias = None if bias is None else bias.to(q.dtype)
    if backend == "auto" or (backend == "flash" and bias is not None and not on_cpu):
        if on_cpu and max(q.shape[2], k.shape[2]) <= PLAIN_ATTENTION_MAX_TOKENS:
            return _plain(q, k, v, bias)
        return F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
    if on_cpu and backend in _ONLY_ON_CUDA:
        raise UserError(f"attention_backend: '{backend}' needs a CUDA device; on a CPU take auto, flash or math")
    with sdpa_kernel(_KERNELS[backend]):
        return F.scaled_dot_product_attention(q, k, v, attn_mask=bias)


def _plain(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None) -> Tensor:
    scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)
    if bias is not None:
        scores = scores + bias
    return scores.softmax(dim=-1).to(v.dtype) @ v
