"""``python -m metrics.shifted CLIP``: what metrics of synchrony say of a clip whose sound was moved.

Shape legend: F frames, S samples.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from jsonargparse import auto_cli
from rich.console import Console
from rich.table import Table

from data.media import inspect_clip, read_clip
from harmony_lit.containers import Clip
from harmony_lit.errors import UserError
from metrics.av_align import AVAlign
from metrics.base import ClipMetric, Score
from metrics.bench.cases import UNCATEGORISED, BenchCase

SHIFTS_S = (-0.4, -0.3, -0.2, -0.1, 0.0, 0.1, 0.2, 0.3, 0.4)


def shift_sound(clip: Clip, shift_s: float, margin_s: float) -> Clip:
    """The same picture with its sound later by ``shift_s`` (earlier, if negative).

    ``margin_s`` is taken off both ends of the picture, so that there is true sound for every shift up to it, and clips
    of different shifts show the same.

    Raises:
        UserError: If the margin is smaller than the shift, or leaves nothing of the clip.
    """
    margin = round(margin_s * clip.fps)
    if abs(shift_s) > margin / clip.fps + 1e-9 or 2 * margin >= len(clip.video):
        raise UserError(
            f"a margin of {margin_s:g} s must exceed the shift of {shift_s:g} s and fit twice into the clip"
        )
    video = clip.video[margin : len(clip.video) - margin]
    start = round((margin / clip.fps - shift_s) * clip.sample_rate_hz)
    samples = round(len(video) / clip.fps * clip.sample_rate_hz)
    return Clip(video, clip.audio[start : start + samples], clip.fps, clip.sample_rate_hz)


def scores_by_shift(
    clip: Clip, metrics: Sequence[ClipMetric], shifts_s: Sequence[float] = SHIFTS_S
) -> dict[float, dict[str, Score]]:
    """The scores of a clip by measure key, for every shift of its sound in seconds."""
    case = BenchCase("shifted", UNCATEGORISED)
    margin_s = max(abs(shift_s) for shift_s in shifts_s) + 1 / clip.fps
    found: dict[float, dict[str, Score]] = {}
    for shift_s in shifts_s:
        shifted = shift_sound(clip, shift_s, margin_s)
        values = [metric.measure(shifted, case) for metric in metrics]
        found[shift_s] = {key: Score.of(value) for some in values for key, value in some.items()}
    return found


def main(
    clip: Path,
    metrics: list[ClipMetric] | None = None,
    shifts_s: list[float] | None = None,
    fps: float | None = None,
) -> None:
    """Prints the scores of a clip at every shift of its sound.

    Args:
        clip: A media file.
        metrics: What is measured; AV-Align, if none is named.
        shifts_s: By how many seconds the sound is later.
        fps: Frames per second to read at; as stored, if not given.
    """
    read = read_clip(clip, fps or inspect_clip(clip)[1].fps)
    scores = scores_by_shift(read, metrics or [AVAlign()], shifts_s or SHIFTS_S)
    Console().print(_table(f"{clip.stem}, {read.fps:g} fps", scores))


def _table(title: str, scores: Mapping[float, Mapping[str, Score]]) -> Table:
    keys = list(dict.fromkeys(key for values in scores.values() for key in values))
    table = Table("measure", *(f"{shift_s:+g} s" for shift_s in scores), title=title)
    for key in keys:
        found = [values.get(key, Score.none("not applicable")) for values in scores.values()]
        table.add_row(key, *(score.excluded or f"{score.value:.3f}" for score in found))
    return table


if __name__ == "__main__":
    try:
        auto_cli(main, as_positional=True)
    except UserError as error:
        sys.exit(f"harmony: {error}")
