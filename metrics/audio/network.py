"""The seam of networks that know sounds: from samples to features and to AudioSet's classes.

Shape legend: S samples, N feature vectors of one sound, D feature width, C classes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor, nn

from harmony_lit.containers import Clip
from harmony_lit.pretrained.layout import Layout
from harmony_lit.pretrained.load import load_pretrained
from harmony_lit.pretrained.source import open_weights
from metrics.bench.scoring import read_scored_clip
from metrics.memo import once_per_clip
from metrics.networks import Runtime, absent, name_of
from metrics.rates import resampled


@dataclass(frozen=True)
class Heard:
    """What a network makes of one sound, float32 on the CPU.

    Attributes:
        features: (N, D); N is 1 for networks that look at the whole sound, 0 for a sound too short to be heard.
        logits: (C,) scores of AudioSet's classes; None for networks that have none.
    """

    features: Tensor
    logits: Tensor | None = None


class SoundNetwork(ABC):
    """A network that describes sounds, by its published weights.

    Built in no time; two of the same class, weights and runtime are equal, and share what they load and hear.

    Args:
        weights: Path of the published file; ``needs ...`` is told without.
        runtime: Where and how precisely the network runs.

    Attributes:
        title: Its name in protocols, with the settings that move its features.
        published: What the weights are and where they are to be had.
        sample_rate_hz: The rate at which it listens.
        classes: Number of its classes; 0 if it has features only.
    """

    title: ClassVar[str]
    published: ClassVar[str]
    sample_rate_hz: ClassVar[int] = 16_000
    classes: ClassVar[int] = 0

    def __init__(self, weights: str | None = None, runtime: Runtime = Runtime()) -> None:
        self.weights, self.runtime = weights, runtime

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, SoundNetwork)
            and type(self) is type(other)
            and (self.weights, self.runtime) == (other.weights, other.runtime)
        )

    def __hash__(self) -> int:
        return hash((type(self), self.weights, self.runtime))

    @property
    def checkpoint(self) -> str:
        """File name and digest, or hub id, of its weights."""
        return name_of(self.weights)

    def missing(self) -> str | None:
        """What it needs and does not have, as in ``needs ...``; None if it can run."""
        return absent(self.weights, self.published)

    @abstractmethod
    def hear(self, waveform: Tensor) -> Heard:
        """Features and classes of ``waveform`` (S,), samples in [-1, 1] at ``sample_rate_hz`` without an offset."""


def _hear(clip: Clip, network: SoundNetwork) -> Heard:
    """What ``network`` makes of a clip's sound, freed of its mean as in av-benchmark."""
    waveform = clip.audio.detach().cpu().float()
    return network.hear(resampled(waveform - waveform.mean(), clip.sample_rate_hz, network.sample_rate_hz))


hear_clip = once_per_clip(_hear)
"""``_hear``, once for all metrics that ask about the same clip and network."""


@lru_cache(maxsize=1024)
def hear_truth(path: str, network: SoundNetwork) -> Heard:
    """What ``network`` makes of the true clip at ``path``; the truths of a bench are heard once in a process."""
    return _hear(read_scored_clip(Path(path)), network)


def load_network(network: nn.Module, weights: str, layout: Layout, runtime: Runtime) -> nn.Module:
    """Fills ``network``, which may be on the meta device, with published weights, and places it.

    Raises:
        UserError: If the file is damaged or anything in it does not fit.
    """
    load_pretrained(network, open_weights(weights), layout)
    return runtime.place(network)


def to_cpu(values: Tensor) -> Tensor:
    """``values`` as they are kept: float32 on the CPU."""
    return values.detach().to("cpu", torch.float32)
