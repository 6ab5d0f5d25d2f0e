"""Weights in bfloat16, for models that do not fit otherwise: half the memory of weights, gradients and optimiser.

Lightning's ``bf16-true`` rounds everything, inputs and timesteps too. Here norms, modulation and the timestep's
embedding stay in fp32, as Wan keeps them, as do adapters; what is computed follows autocast, as in ``bf16-mixed``.
A stage with ``precision: bf16-true`` gets this.

A step smaller than about 1/256 of a weight is lost when a bfloat16 weight is written back: with small learning rates
train adapters, or everything under ``bf16-mixed``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch
from lightning.pytorch.plugins.precision import Precision
from torch import nn

FP32 = re.compile(r"(^|\.)(norm\w*|modulation|time_embedding|lora_\w+)(\.|$)")
"""Names of what stays in fp32; time_projection, a large matrix, does not, as in diffusers."""


class BFloat16Weights(Precision):
    """Trains weights in bfloat16 under autocast."""

    precision = "bf16-true"

    def convert_module(self, module: nn.Module) -> nn.Module:
        """See ``to_bfloat16``."""
        return to_bfloat16(module)

    @contextmanager
    def forward_context(self) -> Iterator[None]:
        """Autocast on the CPU and the accelerator, whichever the step runs on."""
        with ExitStack() as stack:
            stack.enter_context(torch.autocast("cpu", torch.bfloat16))
            accelerator = torch.accelerator.current_accelerator(check_available=True)
            if accelerator is not None:
                stack.enter_context(torch.autocast(accelerator.type, torch.bfloat16))
            yield


def to_bfloat16(module: nn.Module) -> nn.Module:
    """Rounds the weights of ``module`` to bfloat16 in place, but for what stays in fp32."""
    for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
        if tensor.is_floating_point() and not FP32.search(name):
            tensor.data = tensor.data.to(torch.bfloat16)
    return module
