"""The dual-branch model."""

from harmony_lit.model.audio import AudioTower
from harmony_lit.model.audio_blocks import CrossBlock, MMDiTBlock, SingleStreamBlock
from harmony_lit.model.audio_positions import LatentPositions, VideoTimePositions
from harmony_lit.model.audio_projection import ConvProjection, LinearProjection
from harmony_lit.model.dual_branch import DualBranchDiT, ModelDims
from harmony_lit.model.transcript import TranscriptEncoder
from harmony_lit.model.video import VideoTower

__all__ = [
    "AudioTower",
    "ConvProjection",
    "CrossBlock",
    "DualBranchDiT",
    "LatentPositions",
    "LinearProjection",
    "MMDiTBlock",
    "ModelDims",
    "SingleStreamBlock",
    "TranscriptEncoder",
    "VideoTimePositions",
    "VideoTower",
]
