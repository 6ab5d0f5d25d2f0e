"""Networks whose weights somebody published: where these are to be had, and loading them into a network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
from torch import nn

from harmony_lit.errors import UserError
from harmony_lit.pretrained import WeightSource, detect, load_pretrained, open_weights

Network = TypeVar("Network", bound=nn.Module)

RANDOM = "random"
"""In place of a path: fixed random weights. Not null, which is what a setting has that was forgotten."""


@dataclass(frozen=True)
class Published:
    """Weights that a user has to fetch.

    Args:
        part: The part of the system that their layouts fill.
        what: What they are.
        where: The file and where it is published.
    """

    part: str
    what: str
    where: str

    def open(self, weights: str) -> WeightSource:
        """The weights at this path, not read yet.

        Raises:
            UserError: If there is nothing at the path, or nothing that can be read.
        """
        path = Path(weights).expanduser()
        if not path.exists():
            raise UserError(f"there are no weights at {weights}: {self.what} is {self.where}")
        return open_weights(path)

    def files(self, weights: str) -> list[Path]:
        """The files that hold these weights; none for random ones."""
        return [] if weights == RANDOM else self.open(weights).files


def load_published(
    published: Published, weights: str, build: Callable[[], Network], dtype: torch.dtype, device: torch.device
) -> Network:
    """A network with published weights, or with fixed random ones, in evaluation and frozen.

    Args:
        published: What the weights are.
        weights: Their path, or ``random``.
        build: Makes the network with values of no account.
        dtype: Type of its parameters.
        device: Where published weights are read to, one tensor after the other.

    Raises:
        UserError: If the weights are absent, damaged, of something else, or of another size.
    """
    if weights == RANDOM:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return _ready(build(), dtype)
    source = published.open(weights)
    layout = detect(source)
    if layout.part != published.part:
        raise UserError(f"{weights} is in the layout {layout.name}, not what is asked for: {published.what}")
    with torch.device("meta"):
        network = _ready(build(), dtype)
    load_pretrained(network, source, layout, device=device)
    return network


def _ready(network: Network, dtype: torch.dtype) -> Network:
    nn.Module.to(network, dtype)  # diffusers' own `to` warns, even where nothing has to stay in float32
    return network.eval().requires_grad_(False)
