"""The synthetic world: small annotated clips whose events, voices and looks are known exactly."""

from data.world.clips import make_clip
from data.world.config import CATEGORIES, SPLITS, Split, WorldConfig, WorldSample
from data.world.generate import generate

__all__ = ["CATEGORIES", "SPLITS", "Split", "WorldConfig", "WorldSample", "generate", "make_clip"]
