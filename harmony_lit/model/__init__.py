"""The dual-branch model."""

from harmony_lit.model.audio import AudioTower
from harmony_lit.model.audio_blocks import MMDiTBlock, SingleStreamBlock
from harmony_lit.model.dual_branch import DualBranchDiT, ModelDims
from harmony_lit.model.transcript import TranscriptEncoder
from harmony_lit.model.video import VideoTower

__all__ = [
    "AudioTower",
    "DualBranchDiT",
    "MMDiTBlock",
    "ModelDims",
    "SingleStreamBlock",
    "TranscriptEncoder",
    "VideoTower",
]
