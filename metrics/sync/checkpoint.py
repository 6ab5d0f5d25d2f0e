"""Weights of SyncNets: the published file as it was published, and our own with the network's settings inside."""

from __future__ import annotations

import json
from pathlib import Path

from harmony_lit.errors import UserError
from harmony_lit.pretrained.layouts import HARMONY
from harmony_lit.pretrained.load import load_pretrained
from harmony_lit.pretrained.source import WRAPPERS, PickledFile, open_weights
from metrics.networks import Runtime
from metrics.sync.network import SyncNet

WANTED = "SyncNet's weights (the published syncnet_v2.model, `world` for the synthetic world, or a file of your own)"
_PACKAGED = Path(__file__).parent / "weights"


def locate(weights: str | None) -> str | None:
    """The file that ``weights`` names: a path, or the bare name of a packaged one such as ``world``."""
    if weights is None or Path(weights).suffix or len(Path(weights).parts) > 1:
        return weights
    return str(_PACKAGED / f"{weights}.safetensors")


def load_syncnet(path: str, runtime: Runtime) -> SyncNet:
    """The network of a weights file, ready to run, its normalisations folded.

    Args:
        path: ``syncnet_v2.model`` or the same tensors in another format, or what a fit of ours has exported.
        runtime: Where it runs.

    Raises:
        UserError: If the file cannot be read, or is not exactly a SyncNet's.
    """
    # The published file ends in .model, which elsewhere are tokenizers.
    source = PickledFile(Path(path), WRAPPERS) if path.endswith(".model") else open_weights(path)
    settings = source.metadata.get("settings")
    if settings is None:
        network = SyncNet()
        load_pretrained(network, source, HARMONY)
    else:
        network = _described(settings, path)
        # The counters of batches are no floating-point numbers, and we do not store them.
        load_pretrained(network, source, HARMONY, may_be_missing=["*num_batches_tracked"])
    network.eval().fold()
    runtime.place(network)
    return network


def _described(settings: str, path: str) -> SyncNet:
    try:
        return SyncNet(**json.loads(settings))
    except (json.JSONDecodeError, TypeError, UserError) as error:
        raise UserError(f"{path} is not a SyncNet's weights file: its settings are {settings[:80]}") from error
