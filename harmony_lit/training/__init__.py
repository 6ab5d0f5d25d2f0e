"""Training: the LightningModule, optimisers and schedules."""

from harmony_lit.training.lora import LoRA
from harmony_lit.training.module import HarmonyModule
from harmony_lit.training.optimizers import AdamW, Constant, Muon, OptimizerFactory, Schedule, WarmupCosine

__all__ = ["AdamW", "Constant", "HarmonyModule", "LoRA", "Muon", "OptimizerFactory", "Schedule", "WarmupCosine"]
