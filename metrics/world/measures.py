"""The world's metrics as torchmetrics, for the bench and for validation."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from harmony_lit.containers import Clip
from metrics.base import ClipMetric, Measure, Trace
from metrics.bench.cases import BenchCase
from metrics.world.functional import TOLERANCE_S, caption_hits, event_f1, lag_s, lip_corr
from metrics.world.hearing import audible_events, mel_magnitudes, speech_envelope
from metrics.world.seeing import motion_energy, mouth_opening, visual_events


class EventF1(ClipMetric):
    """Mean F1 of seen and heard strikes, over clips in which something strikes (ambient and complex).

    Args:
        tolerance_s: Seconds within which two events match.
    """

    def __init__(self, tolerance_s: float = TOLERANCE_S) -> None:
        self.tolerance_s = tolerance_s
        protocol = (
            f"F1 of star bursts (pixels) and strikes (templates of the world's sounds), one to one within "
            f"{1000 * tolerance_s:.0f} ms; mean over ambient and complex clips, 0 for a clip with neither."
        )
        self.measures = (Measure("event_f1", "higher", protocol),)
        super().__init__()

    def measure(self, clip: Clip, case: BenchCase) -> Mapping[str, float]:
        """``event_f1`` unless the clip is speech alone."""
        return {} if case.category == "speech" else {"event_f1": event_f1(clip, self.tolerance_s)}

    def trace(self, clip: Clip, case: BenchCase) -> Trace | None:
        """Motion energy and loudness, with the strikes seen and heard, unless the clip is speech alone."""
        if case.category == "speech":
            return None
        motion = motion_energy(clip)
        loudness = np.linalg.norm(mel_magnitudes(clip.audio.numpy(), clip.sample_rate_hz), axis=1)
        return Trace(
            visual=tuple((motion / max(motion.max(), 1e-9)).tolist()),
            audible=tuple((loudness / max(loudness.max(), 1e-9)).tolist()),
            visual_s=tuple(visual_events(clip).tolist()),
            audible_s=tuple(audible_events(clip).tolist()),
            duration_s=clip.duration_s,
        )


class Lag(ClipMetric):
    """Mean absolute offset in seconds at which sound and picture agree best, over all clips."""

    measures = (
        Measure(
            "lag_s",
            "lower",
            "Absolute offset of the best cross-correlation of motion energy and change of loudness, within 0.4 s.",
            unit="s",
            digits=3,
        ),
    )

    def measure(self, clip: Clip, case: BenchCase) -> Mapping[str, float]:
        """``lag_s`` of any clip."""
        return {"lag_s": abs(lag_s(clip))}


class LipCorr(ClipMetric):
    """Mean correlation of mouth opening and loudness of the speech, over clips with speech."""

    measures = (
        Measure(
            "lip_corr",
            "higher",
            "Pearson correlation of the crimson area of the mouth (pixels) with the loudness that remains without "
            "strikes; mean over speech and complex clips.",
        ),
    )

    def measure(self, clip: Clip, case: BenchCase) -> Mapping[str, float]:
        """``lip_corr`` unless nobody speaks."""
        return {} if case.category == "ambient" else {"lip_corr": lip_corr(clip)}

    def trace(self, clip: Clip, case: BenchCase) -> Trace | None:
        """Mouth opening and loudness of the speech, for clips of speech alone."""
        if case.category != "speech":
            return None
        mouth, speech = mouth_opening(clip), speech_envelope(clip)
        return Trace(
            visual=tuple((mouth / max(mouth.max(), 1e-9)).tolist()),
            audible=tuple((speech / max(speech.max(), 1e-9)).tolist()),
            visual_s=(),
            audible_s=(),
            duration_s=clip.duration_s,
        )


class CaptionAccuracy(ClipMetric):
    """Mean share of what a caption asks for that is seen and heard, over clips that ask for something."""

    measures = (
        Measure(
            "caption_accuracy",
            "higher",
            "Share of material, shape, size, speaker (seen: nearest picture of the world) and material, size "
            "(heard: nearest strike), speaker (heard: nearest pitch) that is as asked.",
        ),
    )

    def measure(self, clip: Clip, case: BenchCase) -> Mapping[str, float]:
        """``caption_accuracy`` if the case says what is asked for."""
        hits, asked = caption_hits(clip, case.category, case.attributes)
        return {"caption_accuracy": hits / asked} if asked else {}
