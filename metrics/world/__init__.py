"""Metrics of the synthetic world, measured from pixels and samples alone."""

from metrics.world.measures import CaptionAccuracy, EventF1, Lag, LipCorr

__all__ = ["CaptionAccuracy", "EventF1", "Lag", "LipCorr"]
