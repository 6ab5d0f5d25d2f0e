"""Names for people."""

from __future__ import annotations

from metrics.base import Measure

_TITLES = {"codec_roundtrip": "Codec round trip", "sync_cfg": "SyncCFG", "no_guidance": "No guidance"}
_ACRONYMS = {"f1": "F1", "cfg": "CFG"}


def title(key: str) -> str:
    """A variant's name: ``ground_truth`` is ``Ground truth``."""
    text = " ".join(_ACRONYMS.get(word, word) for word in key.split("_"))
    return _TITLES.get(key) or text[:1].upper() + text[1:]


def measure_title(measure: Measure) -> str:
    """A measure's name with its unit: ``lag_s`` in seconds is ``Lag (s)``."""
    unit = f" ({measure.unit})" if measure.unit else ""
    return (measure.title or title(measure.key.removesuffix(f"_{measure.unit}"))) + unit
