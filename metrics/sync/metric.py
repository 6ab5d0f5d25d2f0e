"""Sync-C, Sync-D and offset of clips, by SyncNet on the faces that a source finds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from statistics import fmean
from typing import Literal

from harmony_lit.containers import Clip
from metrics.base import ClipMetric, Measure, OffsetCurve, Score
from metrics.bench.cases import UNCATEGORISED, BenchCase
from metrics.faces.base import FaceSource
from metrics.memo import once_per_clip
from metrics.networks import Runtime, absent, name_of, shared
from metrics.rates import samples_at
from metrics.sync.checkpoint import WANTED, load_syncnet, locate
from metrics.sync.features import BATCH_SIZE, crop_sound, hear, see, window_count
from metrics.sync.mfcc import SAMPLE_RATE_HZ
from metrics.sync.network import WINDOW_FRAMES, SyncNet
from metrics.sync.score import VSHIFT, SyncScore, sync_score

Tracks = Literal["mean", "best"]
_TRACKS = {"mean": "mean over face tracks", "best": "face track of the highest Sync-C"}


@once_per_clip
def track_scores(
    clip: Clip, faces: FaceSource, path: str, runtime: Runtime, vshift: int, batch_size: int
) -> tuple[tuple[SyncScore, ...], str]:
    """The scores of all faces of a clip that last long enough, and, if there is none, why.

    At every offset at least one window must meet sound that is there, and not only the zeros beyond its ends.
    """
    network: SyncNet = shared(load_syncnet, path, runtime)
    crops = faces.crops(clip, network.size)
    if not crops:
        return (), "no face"
    audio = samples_at(clip, SAMPLE_RATE_HZ)
    scores = []
    for crop in crops:
        sound = crop_sound(crop, audio)
        count = window_count(len(crop.frames), len(sound))
        if count > vshift:
            lips = see(network, crop.frames, count, runtime, batch_size)
            scores.append(sync_score(lips, hear(network, sound, count, runtime, batch_size), vshift))
    return tuple(scores), "" if scores else f"shorter than {vshift + 1 + WINDOW_FRAMES} frames"


class SyncNetMetric(ClipMetric):
    """Mean Sync-C, Sync-D and absolute offset over clips; those without a face are excluded and counted.

    The offset of a clip is that of its most confident face. It is reported without its sign, so that clips whose sound
    leads do not make up for clips whose sound lags; the sign is in the offset curve.

    Args:
        faces: Where faces come from; what it finds and cuts out moves the numbers as much as the network does.
        weights: The published ``syncnet_v2.model``, ``world`` for the synthetic world, or a file that a fit of
            ``metrics.sync.training`` has exported. Numbers of different weights cannot be compared.
        tracks: ``mean`` over all faces of a clip, or ``best`` for the one with the highest Sync-C.
        vshift: Offsets that are tried to each side, in frames.
        batch_size: Windows that the network sees at once.
        categories: Categories of cases that it applies to; by default those in which somebody speaks.
        runtime: Where the network runs.
    """

    def __init__(
        self,
        faces: FaceSource,
        weights: str | None = None,
        tracks: Tracks = "mean",
        vshift: int = VSHIFT,
        batch_size: int = BATCH_SIZE,
        categories: Sequence[str] = ("speech", "complex", UNCATEGORISED),
        runtime: Runtime = Runtime(),
    ) -> None:
        self.faces, self.weights, self.tracks, self.runtime = faces, locate(weights), tracks, runtime
        self.vshift, self.batch_size, self.categories = vshift, batch_size, tuple(categories)
        protocol = (
            f"25 fps, 16 kHz; {faces.describe()}; windows of {WINDOW_FRAMES} frames, offsets of ±{vshift} frames with "
            f"zeros beyond the ends, distances averaged over time before the least is taken; {_TRACKS[tracks]}; "
            f"of {', '.join(self.categories)} cases; no face: excluded."
        )
        offset = f"{protocol} Absolute value, of the face of the highest Sync-C."
        measure = partial(Measure, detector="SyncNet (Chung & Zisserman 2016)", checkpoint=name_of(self.weights))
        self.measures = (
            measure("sync_c", "higher", protocol, title="Sync-C"),
            measure("sync_d", "lower", protocol, title="Sync-D"),
            measure("sync_offset", "lower", offset, unit="frames", digits=1, title="|Offset|"),
        )
        super().__init__()

    def missing(self) -> str | None:
        """See the base."""
        return absent(self.weights, WANTED) or self.faces.missing()

    def measure(self, clip: Clip, case: BenchCase) -> Mapping[str, float | Score]:
        """See the base."""
        if case.category not in self.categories:
            return {}
        scores, why = self._scores(clip)
        if not scores:
            return {measure.key: Score.none(why) for measure in self.measures}
        best = max(scores, key=lambda score: score.confidence)
        counted = [best] if self.tracks == "best" else scores
        return {
            "sync_c": fmean(score.confidence for score in counted),
            "sync_d": fmean(score.distance for score in counted),
            "sync_offset": float(abs(best.offset_frames)),
        }

    def offset_curve(self, clip: Clip, case: BenchCase) -> OffsetCurve | None:
        """The distances of the most confident face."""
        scores = self._scores(clip)[0] if case.category in self.categories else ()
        if not scores:
            return None
        best = max(scores, key=lambda score: score.confidence)
        return OffsetCurve(best.offsets_frames, best.distances)

    def _scores(self, clip: Clip) -> tuple[tuple[SyncScore, ...], str]:
        assert self.weights is not None  # missing() has said so
        return track_scores(clip, self.faces, self.weights, self.runtime, self.vshift, self.batch_size)
