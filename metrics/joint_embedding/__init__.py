"""Cosines in joint spaces: IB and IB-A by ImageBind, CLAP."""

from metrics.joint_embedding.clap import Clap
from metrics.joint_embedding.imagebind import ImageBindText, ImageBindVideo

__all__ = ["Clap", "ImageBindText", "ImageBindVideo"]
