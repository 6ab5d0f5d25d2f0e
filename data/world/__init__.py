"""The synthetic world: small annotated clips whose events, voices and looks are known exactly."""

from data.world.clips import make_clip
from data.world.config import CATEGORIES, SPLITS, Split, WorldConfig, WorldSample

__all__ = ["CATEGORIES", "SPLITS", "Split", "WorldConfig", "WorldSample", "make_clip"]
