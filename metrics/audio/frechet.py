"""FD and FAD: the Frechet distance between Gaussians fitted to features of the clips and of their truths.

``|m - m'|^2 + tr(S + S' - 2 (S S')^(1/2))`` with means m and unbiased covariances S (Heusel et al. 2017; for sounds,
Kilgour et al. 2019).

Shape legend: N feature vectors, D feature width.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torchmetrics.image.fid import FrechetInceptionDistance

from harmony_lit.containers import Clip
from metrics.audio.network import SoundNetwork, hear_clip, hear_truth
from metrics.base import Measure, SetMetric
from metrics.bench.cases import BenchCase


def frechet_distance(features: Tensor, truths: Tensor) -> float:
    """Distance of two sets of features (N, D) and (N', D); NaN if one has fewer than two, for want of a covariance."""
    if min(len(features), len(truths)) < 2:
        return math.nan
    distance = FrechetInceptionDistance(_AsTheyAre(features.shape[1]), normalize=True, sync_on_compute=False)
    distance.update(truths.double(), real=True)
    distance.update(features.double(), real=False)
    return float(distance.compute())


@dataclass(frozen=True)
class Pair:
    """Features of a clip (N, D) and of its truth (N', D)."""

    clip: Tensor
    truth: Tensor


class FrechetDistance(SetMetric):
    """The Frechet distance of the clips that have a true one to these.

    Args:
        network: What describes the sounds.
        key: ``fd``; ``fad`` is the custom for VGGish. Two of these metrics in a bench need two keys, such as
            ``fd_panns``.
    """

    clips: list[Tensor]
    truths: list[Tensor]
    width: Tensor

    def __init__(self, network: SoundNetwork, key: str = "fd") -> None:
        self.network = network
        self.measures = (
            Measure(
                key,
                "lower",
                f"Frechet distance (torchmetrics, float64, unbiased covariances) of {network.title}, mean of the sound "
                "taken off, between the clips and the true clips of their cases.",
                title=key.upper().replace("_", "-"),
                detector=network.title,
                checkpoint=network.checkpoint,
            ),
        )
        super().__init__()
        # Flat, and beside their width: a rank without a clip has nothing of the right shape to gather.
        self.add_state("clips", [], dist_reduce_fx="cat")
        self.add_state("truths", [], dist_reduce_fx="cat")
        self.add_state("width", torch.zeros((), dtype=torch.long), dist_reduce_fx="max")

    def missing(self) -> str | None:
        """See the base."""
        return self.network.missing()

    def features(self, clip: Clip, case: BenchCase) -> Pair | None:
        """Features of the clip and of the truth; None for cases without one."""
        if case.truth is None:
            return None
        return Pair(hear_clip(clip, self.network).features, hear_truth(case.truth, self.network).features)

    def add(self, features: Pair) -> None:
        """See the base."""
        self.clips.append(features.clip.flatten().to(self.device))
        self.truths.append(features.truth.flatten().to(self.device))
        self.width = torch.tensor(features.clip.shape[1], device=self.device)

    def compute(self) -> dict[str, Tensor]:
        """The distance over all clips; NaN below two of them."""
        width = int(self.width)
        value = frechet_distance(_rows(self.clips, width), _rows(self.truths, width)) if width else math.nan
        return {self.measures[0].key: torch.tensor(value)}


class _AsTheyAre(nn.Module):
    """What torchmetrics takes for the network: features are given."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features

    def forward(self, features: Tensor) -> Tensor:
        return features


def _rows(state: Tensor | Sequence[Tensor], width: int) -> Tensor:
    flat = state if isinstance(state, Tensor) else torch.cat(list(state))
    return flat.reshape(-1, width).cpu()
