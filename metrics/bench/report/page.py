"""Fills the report's template from bench results, traces, pictures of the clips and training curves."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import av
import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from metrics.base import Measure, Trace
from metrics.bench.cases import BenchCase
from metrics.bench.report.svg import curves_svg, trace_svg
from metrics.bench.report.training import StageCurves, read_training, smoothed
from metrics.bench.results import OVERALL, BenchResults

TITLES = {"codec_roundtrip": "Codec round trip", "sync_cfg": "SyncCFG", "av_align": "AV-Align"}

_ACRONYMS = {"f1": "F1", "cfg": "CFG", "wer": "WER"}


@dataclass(frozen=True)
class Cell:
    """One number of a table."""

    text: str
    sort: float
    best: bool


@dataclass(frozen=True)
class Panel:
    """One variant's clip in the card of a case."""

    title: str
    src: str
    poster: str
    trace: Markup
    scores: list[tuple[str, Cell]]


def write_report(
    path: Path | str,
    results: BenchResults,
    traces: Mapping[str, Mapping[str, Trace]],
    facts: Mapping[str, str],
    settings: Mapping[str, Any] | None = None,
    run: Path | str | None = None,
) -> None:
    """Writes the page; clips are linked relative to its folder, everything else is inside.

    Args:
        path: The HTML file.
        results: Scores; ``clips`` are relative to the folder of ``path``.
        traces: Variant to case key to what was seen and heard.
        facts: Short label to short value, for the head of the page (parameters, steps, time ...).
        settings: The composed experiment, shown as YAML.
        run: Folder below which TensorBoard files are looked for; the page's folder if None.
    """
    path = Path(path)
    environment = Environment(
        loader=PackageLoader("metrics.bench", "report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(title=title, measure=measure_title)
    shown = _side_by_side(results)
    page = environment.get_template("report.html.j2").render(
        results=results,
        facts=facts,
        css=Markup(_asset("report.css")),
        js=Markup(_asset("report.js")),
        tables={s: _table(results, s) for s in (OVERALL, *results.subsets)},
        overall=OVERALL,
        shown=shown,
        cards=[_card(results, traces, case, shown, path.parent) for case in results.cases],
        stages=[chart for stage in read_training(run or path.parent) for chart in _charts(stage)],
        rows=_case_rows(results),
        settings=yaml.safe_dump(dict(settings), sort_keys=False, allow_unicode=True) if settings else "",
        info=results.info,
    )
    path.write_text(page)


def title(key: str) -> str:
    """A name for people: ``event_f1`` is ``Event F1``."""
    text = " ".join(_ACRONYMS.get(word, word) for word in key.split("_"))
    return TITLES.get(key) or text[:1].upper() + text[1:]


def measure_title(measure: Measure) -> str:
    """``lag_s`` in seconds is ``Lag (s)``."""
    unit = f" ({measure.unit})" if measure.unit else ""
    return title(measure.key.removesuffix(f"_{measure.unit}")) + unit


def _side_by_side(results: BenchResults) -> list[str]:
    """The variants worth looking at beside each other: the first reference and the models."""
    references = [name for name, v in results.variants.items() if v.role == "reference"]
    return references[:1] + [name for name, v in results.variants.items() if v.role == "model"]


def _cell(measure: Measure, value: float, best: bool = False) -> Cell:
    if math.isnan(value):
        return Cell("–", -math.inf, False)
    return Cell(f"{value:.{measure.digits}f}", value, best)


def _table(results: BenchResults, subset: str) -> list[tuple[str, list[Cell]]]:
    best = {m.key: results.best(m, subset) for m in results.measures}
    rows = []
    for name in results.variants:
        cells = [_cell(m, results.mean(name, m.key, subset), best[m.key] == name) for m in results.measures]
        rows.append((name, cells))
    return rows


def _card(
    results: BenchResults,
    traces: Mapping[str, Mapping[str, Trace]],
    case: BenchCase,
    shown: list[str],
    folder: Path,
) -> tuple[BenchCase, list[Panel]]:
    models = [name for name in shown if results.variants[name].role == "model"]
    panels = []
    for name in shown:
        variant = results.variants[name]
        if case.key not in variant.clips:
            continue
        scores = []
        for measure in results.measures:
            values = {v: results.variants[v].scores.get(case.key, {}).get(measure.key, math.nan) for v in shown}
            rivals = [measure.goodness(values[v]) for v in models if not math.isnan(values[v])]
            wins = name in models and len(rivals) > 1 and measure.goodness(values[name]) == max(rivals) > min(rivals)
            scores.append((measure_title(measure), _cell(measure, values[name], wins)))
        trace = traces.get(name, {}).get(case.key)
        src = variant.clips[case.key]
        picture = Markup(trace_svg(trace)) if trace else Markup("")
        panels.append(Panel(title(name), src, _poster(folder / src), picture, scores))
    return case, panels


def _charts(stage: StageCurves) -> list[tuple[str, str, Markup, list[str]]]:
    """(stage, what, picture, legend): one chart of losses per stage and, where there are any, of bench scores."""
    losses = {tag: curve for tag, curve in stage.family("train").items() if tag == "loss" or "/" in tag}
    charts = []
    for what, family, weight in (
        ("training loss", losses, 0.9),
        ("held-out loss", stage.family("val"), 0.0),
        ("bench scores at validation", stage.family("bench"), 0.0),
    ):
        curves = {name.replace("/", " · "): smoothed(curve, weight) for name, curve in list(family.items())[:8]}
        if curves:
            charts.append((stage.stage, what, Markup(curves_svg(curves, f"{stage.stage}: {what}")), list(curves)))
    return charts


def _case_rows(results: BenchResults) -> list[tuple[BenchCase, str, list[Cell]]]:
    """Every case and variant as a row of the long table."""
    return [
        (case, name, [_cell(m, variant.scores[case.key].get(m.key, math.nan)) for m in results.measures])
        for case in results.cases
        for name, variant in results.variants.items()
        if case.key in variant.scores
    ]


def _poster(path: Path) -> str:
    """The first frame of a clip as a data URI, so that the page has its pictures before anything plays."""
    with av.open(str(path)) as container:
        picture = next(container.decode(video=0)).to_image()
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", quality=85)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()


def _asset(name: str) -> str:
    return (files("metrics.bench.report") / name).read_text()
