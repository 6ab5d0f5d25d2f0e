"""KL: how far the classes heard in a clip are from those heard in its truth.

``KL(p || q)`` of the posteriors p of the truth and q of the clip, softmax over AudioSet's 527 classes, as AudioGen
(Kreuk et al. 2022) and av-benchmark have it.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch.nn.functional as F
from torch import Tensor

from harmony_lit.containers import Clip
from harmony_lit.errors import UserError
from metrics.audio.network import SoundNetwork, hear_clip, hear_truth
from metrics.base import ClipMetric, Measure, Score
from metrics.bench.cases import BenchCase


def divergence(logits: Tensor, truth: Tensor) -> float:
    """``sum p (log p - log q)`` in nats; p = softmax of ``truth`` (C,), q = softmax of ``logits`` (C,)."""
    p, q = F.log_softmax(truth.double(), dim=0), F.log_softmax(logits.double(), dim=0)
    return float((p.exp() * (p - q)).sum())


class KLDivergence(ClipMetric):
    """The divergence of each clip from its truth, for cases that have one.

    Args:
        network: What hears the classes.
        key: Two of these metrics in a bench need two keys, such as ``kl_panns``.

    Raises:
        UserError: If the network has no classes.
    """

    def __init__(self, network: SoundNetwork, key: str = "kl") -> None:
        if not network.classes:
            raise UserError(f"KL needs a network with classes, such as PANNs or AST, not {type(network).__name__}")
        self.network = network
        self.measures = (
            Measure(
                key,
                "lower",
                f"KL(truth || clip) in nats of the softmax over {network.classes} AudioSet classes by {network.title}, "
                "mean of the sound taken off; mean over clips.",
                title=key.upper().replace("_", "-"),
                detector=network.title,
                checkpoint=network.checkpoint,
            ),
        )
        super().__init__()

    def missing(self) -> str | None:
        """See the base."""
        return self.network.missing()

    def measure(self, clip: Clip, case: BenchCase) -> Mapping[str, float | Score]:
        """See ``divergence``; nothing for cases without a truth."""
        if case.truth is None:
            return {}
        heard, true = hear_clip(clip, self.network).logits, hear_truth(case.truth, self.network).logits
        if heard is None or true is None:
            return {self.measures[0].key: Score.none("sound too short")}
        return {self.measures[0].key: divergence(heard, true)}
