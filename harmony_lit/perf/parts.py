"""Where the time of a training step goes, by part of the transformer, told from the operators of a profile.

Operators say what they are: a matrix product that has the feed-forward's width is the feed-forward's, any other a
projection. So the parts mean the same for both models, forward and backward, whatever their modules are called.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch.profiler import ProfilerActivity, profile

PARTS = ("projections", "ffn", "attention", "norm", "modulation, rotary, residual", "the rest")
_PRODUCTS = ("aten::mm", "aten::addmm", "aten::bmm", "aten::convolution", "aten::slow_conv3d", "aten::mkldnn_conv")
_ATTENTION = ("scaled_dot_product", "flash_attention", "efficient_attention", "cudnn_attention", "_softmax")
_NORM = ("layer_norm", "rms_norm", "vector_norm", "RMSNorm", "RmsNorm", "LayerNorm", "rsqrt", "aten::pow")
_ELEMENTWISE = ("aten::mul", "aten::add", "aten::sub", "aten::neg", "aten::sum", "aten::copy_", "aten::cat")


def part_of(name: str, shapes: Any, ffn_width: int, parents: list[str]) -> str:
    """The part that an operator belongs to.

    Args:
        name: The operator.
        shapes: Its inputs' shapes.
        ffn_width: Hidden width of the feed-forward.
        parents: Names of what called it.
    """
    if any(word in name for word in _ATTENTION):
        return "attention"
    if name.startswith(_PRODUCTS):
        return "ffn" if any(ffn_width in shape for shape in shapes if shape) else "projections"
    if "gelu" in name.lower():
        return "ffn"
    if any(word in known for known in (name, *parents) for word in _NORM):
        return "norm"
    return "modulation, rotary, residual" if name.startswith(_ELEMENTWISE) else "the rest"


def time_by_part(work: Callable[[], Any], ffn_width: int) -> dict[str, float]:
    """Seconds of each of ``PARTS`` in one call of ``work``, on the device that does the work."""
    import torch

    activities = [ProfilerActivity.CPU] + ([ProfilerActivity.CUDA] if torch.cuda.is_available() else [])
    with profile(activities=activities, record_shapes=True) as measured:
        work()
    seconds = dict.fromkeys(PARTS, 0.0)
    on_device = len(activities) > 1
    for event in measured.events():
        parents, parent = [], event.cpu_parent
        while parent is not None:
            parents.append(parent.name)
            parent = parent.cpu_parent
        spent = event.self_device_time_total if on_device else event.self_cpu_time_total
        seconds[part_of(event.name, event.input_shapes, ffn_width, parents)] += spent * 1e-6
    return seconds
