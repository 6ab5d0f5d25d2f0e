"""Sequential offload: layers that wait on the CPU and visit the accelerator one at a time.

While a layer works, the next one is already on its way, on a stream of its own: the accelerator holds the tensors of
two layers instead of all. Values do not change, so the forward is the same to the last bit. It is for sampling and
validation: no gradient can reach a layer that has left.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor, nn


class Device(Protocol):
    """Where layers work: an accelerator, nothing at all, or what a test takes down."""

    def fetch(self, layer: int, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Begins to copy the tensors of ``layer`` there; the copies may not be ready yet."""

    def wait(self, layer: int) -> None:
        """Has the work that follows wait until ``layer`` is there."""

    def leave(self, layer: int, tensors: Sequence[Tensor]) -> None:
        """Lets go of copies once the work queued so far is done."""


class Accelerator:
    """Copies from pinned memory on a stream of their own (CUDA, and what has its interface)."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._stream = torch.Stream(device)
        self._ready: dict[int, torch.Event] = {}

    def fetch(self, layer: int, tensors: Sequence[Tensor]) -> list[Tensor]:
        """See the base. Memory that work still uses is not handed out again before it is done: ``leave`` sees to it."""
        with self._stream:
            copies = [tensor.to(self.device, non_blocking=True) for tensor in tensors]
            self._ready[layer] = self._stream.record_event()
        return copies

    def wait(self, layer: int) -> None:
        """See the base."""
        torch.accelerator.current_stream(self.device).wait_event(self._ready.pop(layer))

    def leave(self, layer: int, tensors: Sequence[Tensor]) -> None:
        """See the base."""
        working = torch.accelerator.current_stream(self.device)
        for tensor in tensors:
            tensor.record_stream(working)


class Here:
    """The CPU: layers are where they work already."""

    def fetch(self, layer: int, tensors: Sequence[Tensor]) -> list[Tensor]:
        """See the base."""
        return list(tensors)

    def wait(self, layer: int) -> None:
        """See the base."""

    def leave(self, layer: int, tensors: Sequence[Tensor]) -> None:
        """See the base."""


def device_of(device: torch.device) -> Device:
    """What moves layers to ``device``."""
    return Here() if device.type == "cpu" else Accelerator(device)


class Offload:
    """Layers on the CPU that visit a device one at a time.

    Args:
        layers: What makes each layer: blocks of both towers and what stands between them. Their values stay in pinned
            memory on the CPU for as long as this lives.
        device: Where they work.
    """

    def __init__(self, layers: Sequence[Sequence[nn.Module]], device: Device) -> None:
        self._device = device
        self._own = [[tensor for module in modules for tensor in tensors(module)] for modules in layers]
        pin = not isinstance(device, Here) and torch.accelerator.is_available()
        self._home = [[_at_home(tensor.data, pin) for tensor in own] for own in self._own]
        self._copies: dict[int, list[Tensor]] = {}
        for own, home in zip(self._own, self._home, strict=True):
            _show(own, home)

    def __len__(self) -> int:
        return len(self._own)

    def enter(self, layer: int) -> None:
        """Has ``layer`` at work, the next one (after the last: the first) on its way, and all others at home.

        Raises:
            RuntimeError: If gradients are being recorded.
        """
        if torch.is_grad_enabled():
            raise RuntimeError("offloaded layers cannot be trained: run under torch.no_grad()")
        following = (layer + 1) % len(self)
        for other in [index for index in self._copies if index not in (layer, following)]:
            self._go_home(other)
        self._begin(layer)
        self._device.wait(layer)
        _show(self._own[layer], self._copies[layer])
        if following != layer and following not in self._copies:
            self._begin(following)

    def go_home(self) -> None:
        """Takes all layers home."""
        for layer in list(self._copies):
            self._go_home(layer)

    def _begin(self, layer: int) -> None:
        if layer not in self._copies:
            self._copies[layer] = self._device.fetch(layer, self._home[layer])

    def _go_home(self, layer: int) -> None:
        _show(self._own[layer], self._home[layer])
        self._device.leave(layer, self._copies.pop(layer))


def tensors(module: nn.Module) -> list[Tensor]:
    """All parameters and buffers."""
    return [*module.parameters(), *module.buffers()]


def _at_home(tensor: Tensor, pin: bool) -> Tensor:
    tensor = tensor.cpu()
    return tensor.pin_memory() if pin else tensor


def _show(own: Sequence[Tensor], values: Sequence[Tensor]) -> None:
    for tensor, value in zip(own, values, strict=True):
        tensor.data = value
