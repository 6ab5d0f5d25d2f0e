"""Published networks of metrics: loaded strictly, under the names that their authors gave the tensors."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from torch import nn

from harmony_lit.errors import UserError
from harmony_lit.pretrained import load_pretrained, open_weights
from harmony_lit.pretrained.layout import Layout
from harmony_lit.pretrained.source import some
from metrics.networks import Runtime, locate_model

Network = TypeVar("Network", bound=nn.Module)


def load_published(
    network: Network, weights: str, publisher: str, licence: str, runtime: Runtime, prefix: str = ""
) -> Network:
    """``network`` with the values of the file ``weights``, placed where it runs.

    Args:
        network: A network whose names are the file's.
        weights: The file.
        publisher: Who publishes it.
        licence: What it may be used for; told once.
        runtime: Where and how precisely the network runs.
        prefix: What stands before every name in the file, such as ``module.``; a file without it fits, too.

    Raises:
        UserError: If the file is unreadable, or a name or shape differs.
    """
    layout = Layout(
        name=type(network).__name__,
        publisher=publisher,
        licence=licence,
        part="",
        telltale={},
        rename=lambda name: name.removeprefix(prefix),
        restore=lambda name: prefix + name,
    )
    load_pretrained(network, open_weights(weights), layout)
    runtime.place(network)
    return network


def load_transformer(kind: str, name: str, runtime: Runtime) -> Any:
    """A model of transformers from a folder or hub id, placed where it runs.

    Args:
        kind: Its class; transformers is imported when it is wanted, which takes seconds.
        name: The folder or hub id.
        runtime: Where and how precisely it runs.

    Raises:
        UserError: If there is no such model, or it lacks tensors of this class; transformers would make them up.
    """
    network = getattr(importlib.import_module("transformers"), kind)
    with _no_report():
        model, told = network.from_pretrained(
            locate_model(name), output_loading_info=True, ignore_mismatched_sizes=True
        )
    lacking = sorted(map(str, told["missing_keys"])) + sorted(str(entry[0]) for entry in told["mismatched_keys"])
    if lacking:
        raise UserError(f"{name} is no {kind}: it lacks {some(lacking, 3)}")
    return runtime.place(model)


@contextmanager
def _no_report() -> Iterator[None]:
    """Keeps transformers from listing what a model does not take of a file, such as CLIP's half for texts."""
    logger = logging.getLogger("transformers")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
