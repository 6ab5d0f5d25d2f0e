"""Fits of SyncNets: a picture must lie nearer to its own sound than to any other in the batch, and the reverse.

Shape legend: B cuts, F frames, N windows of a cut, D feature width.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from harmony_lit.training.single import NetworkModule
from metrics.sync.data import FaceCut
from metrics.sync.network import SyncNet


def contrastive_loss(lips: Tensor, sounds: Tensor) -> Tensor:
    """Cross-entropy of finding the sound of each window of picture by distance, and the picture of each sound.

    With d the distance of window i of the picture and window j of the sound, over all windows of the batch (InfoNCE,
    van den Oord et al. 2018)::

        loss = mean_i -log(exp(-d_ii) / (exp(-|lips_i|) + sum_j exp(-d_ij)))   and the same with i and j exchanged

    Other windows of the same cut teach offsets, those of other cuts what goes together at all. Features of zeros, which
    the score takes for the sound beyond a clip's ends, must be as far off as any wrong sound: hence the first term.

    Args:
        lips: (B, N, D).
        sounds: (B, N, D).
    """
    seen, heard = lips.flatten(0, 1).float(), sounds.flatten(0, 1).float()
    nearness = -torch.cdist(seen, heard)
    own = torch.arange(len(seen), device=seen.device)
    to_sounds = F.cross_entropy(torch.cat([nearness, -seen.norm(dim=1, keepdim=True)], dim=1), own)
    return (to_sounds + F.cross_entropy(nearness.T, own)) / 2


class SyncNetModule(NetworkModule):
    """Trains a ``SyncNet`` on true clips; no label is needed, since a clip is in sync with itself.

    Args:
        network: The network to train.
        export: Where to write its safetensors file when the fit ends; a metric's ``weights`` names it.
        learning_rate: Peak learning rate.
    """

    def __init__(self, network: SyncNet, export: str, learning_rate: float = 2e-3) -> None:
        super().__init__(network, network.settings, export, learning_rate)

    def training_loss(self, batch: FaceCut) -> Tensor:
        """See the base."""
        # The last window of the picture has no whole window of sound, here as in the score.
        lips = self.network.lip_features(batch.video.float())[:, :-1]
        return contrastive_loss(lips, self.network.audio_features(batch.cepstra))

    def validation_loss(self, batch: FaceCut) -> Tensor:
        """See the base."""
        return self.training_loss(batch)
