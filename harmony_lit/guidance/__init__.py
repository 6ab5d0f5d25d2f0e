"""Guidance behind one seam: none, text CFG per modality, SyncCFG."""

from harmony_lit.guidance.base import Anchors, Denoiser, Guidance, GuidanceState, Interval, NoGuidance
from harmony_lit.guidance.cfg import ModalityCFG
from harmony_lit.guidance.sync_cfg import SyncCFG

__all__ = ["Anchors", "Denoiser", "Guidance", "GuidanceState", "Interval", "ModalityCFG", "NoGuidance", "SyncCFG"]
