"""Synchformer (Iashin et al. 2024): by how many seconds are sound and picture apart?

Shape legend: B windows, S segments, D width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from harmony_lit.pretrained.layout import Layout
from harmony_lit.pretrained.load import load_pretrained
from harmony_lit.pretrained.source import open_weights
from metrics.networks import Runtime
from metrics.synchformer.audio import AudioEncoder
from metrics.synchformer.head import CLASSES, OffsetHead
from metrics.synchformer.video import VideoEncoder

OFFSETS_S = tuple((torch.linspace(-2, 2, CLASSES, dtype=torch.float64)).tolist())
"""Seconds that each class stands for."""


class Synchformer(nn.Module):
    """Both encoders and the head, under the 513 names of the published ``synchformer_state_dict.pth``.

    Args:
        width: D of all parts.
        depth: Blocks of each encoder.
        heads: Attention heads of each encoder.
    """

    def __init__(self, width: int = 768, depth: int = 12, heads: int = 12) -> None:
        super().__init__()
        self.vfeat_extractor = VideoEncoder(width, depth, heads)
        self.afeat_extractor = AudioEncoder(width, depth, heads)
        self.vproj = nn.Linear(width, width)
        self.aproj = nn.Linear(width, width)
        self.transformer = OffsetHead(width)

    def see(self, frames: Tensor) -> Tensor:
        """Segments (S, 16, 3, 224, 224) in [-1, 1] -> (S, 8, D)."""
        return self.vfeat_extractor(frames)

    def hear(self, mels: Tensor) -> Tensor:
        """Normalised log mels (S, 128, 66) -> (S, 6, D)."""
        return self.afeat_extractor(mels)

    def compare(self, seen: Tensor, heard: Tensor) -> Tensor:
        """What was seen (B, 14, 8, D) and heard (B, 14, 6, D) -> logits (B, 21) of ``OFFSETS_S``."""
        return self.transformer(self.vproj(seen.flatten(1, 2)), self.aproj(heard.flatten(1, 2)))


def _same(name: str) -> str:
    return name


LAYOUT = Layout(
    name="synchformer",
    publisher="V. Iashin et al.",
    licence="MIT",
    part="",
    telltale={"vfeat_extractor.temp_embed": (1, 8, None), "transformer.pos_emb_cfg.pos_emb": (1, 198, None)},
    rename=_same,
    restore=_same,
    stem="synchformer_state_dict",
)


def load_synchformer(weights: str, runtime: Runtime) -> Synchformer:
    """The published network, ready to look and listen.

    Raises:
        UserError: If the file is absent or damaged, or a name or shape differs.
    """
    with torch.device("meta"):
        network = Synchformer().to(runtime.dtype)
    load_pretrained(network, open_weights(weights), LAYOUT, device=runtime.torch_device)
    runtime.place(network)
    return network
