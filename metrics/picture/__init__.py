"""What the pictures of a clip are like: beauty (AQ), cleanness (IQ), motion (DD, MS) and identity (ID)."""

from metrics.picture.aesthetics import AestheticQuality, LaionLinear, PredictorV25
from metrics.picture.dynamic_degree import DynamicDegree
from metrics.picture.flow import Farneback, Raft
from metrics.picture.identity import IdentityConsistency
from metrics.picture.imaging import ImagingQuality
from metrics.picture.interpolation import Amt, FlowInterpolator
from metrics.picture.smoothness import MotionSmoothness

__all__ = [
    "AestheticQuality",
    "Amt",
    "DynamicDegree",
    "Farneback",
    "FlowInterpolator",
    "IdentityConsistency",
    "ImagingQuality",
    "LaionLinear",
    "MotionSmoothness",
    "PredictorV25",
    "Raft",
]
