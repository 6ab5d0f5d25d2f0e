"""Where a frozen network runs, and where it waits."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import nn

Network = TypeVar("Network", bound=nn.Module)


def resolve_device(device: str | None) -> torch.device:
    """The device of this name; without one, this process's accelerator, or the CPU where there is none."""
    if device is not None:
        return torch.device(device)
    accelerator = torch.accelerator.current_accelerator(check_available=True)
    return torch.device("cpu") if accelerator is None else accelerator


@contextmanager
def at_work(network: Network, device: str | None, offload: bool) -> Iterator[Network]:
    """``network`` on its device, in its own precision whatever autocast surrounds it.

    Args:
        network: A network in evaluation.
        device: Where it runs; see ``resolve_device``.
        offload: Take it back to the CPU afterwards, also when something failed.
    """
    where = resolve_device(device)
    try:
        with torch.autocast(where.type, enabled=False):
            yield network.to(where)
    finally:
        if offload:
            network.cpu()
