"""DeSync, by Synchformer."""

from metrics.synchformer.metric import DeSync

__all__ = ["DeSync"]
