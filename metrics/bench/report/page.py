"""Fills the report's template from what a bench found, pictures of the clips and training curves."""

from __future__ import annotations

import base64
import io
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import av
import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from metrics.base import Measure
from metrics.bench.cases import BenchCase
from metrics.bench.measuring import Findings
from metrics.bench.paper import NOTE, TABLE_2
from metrics.bench.report.svg import curves_svg, offset_svg, trace_svg
from metrics.bench.report.training import StageCurves, read_training, smoothed
from metrics.bench.report.worst import badness
from metrics.bench.results import OVERALL, BenchResults
from metrics.bench.titles import measure_title, title


@dataclass(frozen=True)
class Cell:
    """One number of a table."""

    text: str
    sort: float
    best: bool
    hint: str = ""


@dataclass(frozen=True)
class PaperTable:
    """Means of our models in the paper's columns, and the paper's own rows; no measures, no table."""

    measures: list[Measure]
    ours: list[tuple[str, list[Cell]]]
    theirs: list[tuple[str, list[str]]]


@dataclass(frozen=True)
class Panel:
    """One variant's clip in the card of a case."""

    title: str
    src: str
    poster: str
    shape: str
    trace: Markup
    curve: Markup
    scores: list[tuple[str, Cell]]


def write_report(
    path: Path | str,
    found: Findings,
    clips: Path | str,
    facts: Mapping[str, str],
    settings: Mapping[str, Any] | None = None,
    run: Path | str | None = None,
) -> None:
    """Writes the page; clips are linked relative to its folder, everything else is inside.

    Args:
        path: The HTML file.
        found: Scores, and what was seen and heard.
        clips: The folder that the results name their clips relative to.
        facts: Short label to short value, for the head of the page (parameters, steps, time ...).
        settings: The composed experiment, shown as YAML.
        run: Folder below which TensorBoard files are looked for; the page's folder if None.
    """
    path, results = Path(path), found.results
    environment = Environment(
        loader=PackageLoader("metrics.bench", "report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(title=title, measure=measure_title)
    shown = _side_by_side(results)
    folders = (Path(clips), path.parent)
    page = environment.get_template("report.html.j2").render(
        results=results,
        facts=facts,
        css=Markup(_asset("report.css")),
        js=Markup(_asset("report.js")),
        tables={s: _table(results, s) for s in (OVERALL, *results.subsets)},
        overall=OVERALL,
        paper=_paper_table(results),
        paper_note=NOTE,
        left_out=_left_out(results),
        shown=shown,
        cards=[_card(found, case, shown, folders) for case in results.cases],
        stages=[chart for stage in read_training(run or path.parent) for chart in _charts(stage)],
        measures=_applied(results, OVERALL),
        rows=_case_rows(results),
        badness=_case_badness(results),
        settings=yaml.safe_dump(dict(settings), sort_keys=False, allow_unicode=True) if settings else "",
        info=results.info,
    )
    path.write_text(page)


def _applied(results: BenchResults, subset: str) -> list[Measure]:
    """The measures that could read at least one clip of a subset."""
    return [m for m in results.ran if any(not math.isnan(results.mean(v, m.key, subset)) for v in results.variants)]


def _side_by_side(results: BenchResults) -> list[str]:
    """The variants worth looking at beside each other: the first reference and the models."""
    references = [name for name, v in results.variants.items() if v.role == "reference"]
    return references[:1] + [name for name, v in results.variants.items() if v.role == "model"]


def _cell(measure: Measure, value: float, best: bool = False, hint: str = "") -> Cell:
    if math.isnan(value):
        return Cell("–", -math.inf, False, hint)
    return Cell(f"{value:.{measure.digits}f}", value, best, hint)


def _table(results: BenchResults, subset: str) -> tuple[list[Measure], list[tuple[str, list[Cell]]]]:
    """The measures that say anything of a subset, and a row of cells for each variant."""
    measures = _applied(results, subset)
    best = {m.key: results.best(m, subset) for m in measures}
    rows = []
    for name in results.variants:
        cells = []
        for measure in measures:
            counts = results.counts(name, measure.key)
            clips = sum(counts.values()) if subset == OVERALL else counts[subset]
            value = results.mean(name, measure.key, subset)
            cells.append(_cell(measure, value, best[measure.key] == name, f"{clips} clips" if clips else ""))
        rows.append((name, cells))
    return measures, rows


def _paper_table(results: BenchResults) -> PaperTable:
    measures = [m for m in _applied(results, OVERALL) if any(m.key in row for row in TABLE_2.values())]
    models = [name for name, variant in results.variants.items() if variant.role == "model"]
    ours = [(name, [_cell(m, results.mean(name, m.key)) for m in measures]) for name in models]
    theirs = [
        (model, [f"{row[m.key]:.2f}" if m.key in row else "–" for m in measures]) for model, row in TABLE_2.items()
    ]
    return PaperTable(measures, ours, theirs)


def _left_out(results: BenchResults) -> list[str]:
    """What has no number, and why, in sentences."""
    sentences = []
    for measure in results.ran:
        for name in results.variants:
            for why, count in results.exclusions(name, measure.key).items():
                sentences.append(f"{measure_title(measure)}, {title(name)}: {count} clips excluded ({why}).")
    for needs in dict.fromkeys(results.not_run.values()):
        names = ", ".join(measure_title(m) for m in results.measures if results.not_run.get(m.key) == needs)
        sentences.append(f"{names}: not run, needs {needs}.")
    return sentences


def _card(
    found: Findings, case: BenchCase, shown: list[str], folders: tuple[Path, Path]
) -> tuple[BenchCase, list[Panel]]:
    results = found.results
    models = [name for name in shown if results.variants[name].role == "model"]
    panels = []
    for name in shown:
        variant = results.variants[name]
        if case.key not in variant.clips:
            continue
        scores = []
        for measure in results.ran:
            values = {v: results.variants[v].scores.get(case.key, {}).get(measure.key, math.nan) for v in shown}
            rivals = [measure.goodness(values[v]) for v in models if not math.isnan(values[v])]
            wins = name in models and len(rivals) > 1 and measure.goodness(values[name]) == max(rivals) > min(rivals)
            why = variant.excluded.get(case.key, {}).get(measure.key, "")
            scores.append((measure_title(measure), _cell(measure, values[name], wins, why)))
        trace, curve = found.traces.get(name, {}).get(case.key), found.curves.get(name, {}).get(case.key)
        file = folders[0] / variant.clips[case.key]
        poster, shape = _poster(file)
        panels.append(
            Panel(
                title=title(name),
                src=os.path.relpath(file, folders[1]),
                poster=poster,
                shape=shape,
                trace=Markup(trace_svg(trace)) if trace else Markup(""),
                curve=Markup(offset_svg(curve)) if curve else Markup(""),
                scores=scores,
            )
        )
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
    """Every case and variant as a row of the long table: the models' worst first, then the others."""
    bad = badness(results)
    pairs = [(case, name) for case in results.cases for name, v in results.variants.items() if case.key in v.clips]
    pairs.sort(key=lambda pair: -bad.get((pair[0].key, pair[1]), -1.0))
    measures, rows = _applied(results, OVERALL), []
    for case, name in pairs:
        variant = results.variants[name]
        scores, excluded = variant.scores.get(case.key, {}), variant.excluded.get(case.key, {})
        cells = [_cell(m, scores.get(m.key, math.nan), hint=excluded.get(m.key, "")) for m in measures]
        rows.append((case, name, cells))
    return rows


def _case_badness(results: BenchResults) -> dict[str, float]:
    """The worst that any model did on a case, for sorting the cards."""
    worst: dict[str, float] = {case.key: -1.0 for case in results.cases}
    for (key, _), value in badness(results).items():
        worst[key] = max(worst[key], value)
    return worst


def _poster(path: Path) -> tuple[str, str]:
    """The first frame as a data URI, so that the page has its pictures before anything plays, and its aspect ratio."""
    with av.open(str(path)) as container:
        picture = next(container.decode(video=0)).to_image()
    shape = f"{picture.width} / {picture.height}"
    picture.thumbnail((480, 480))
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", quality=85)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode(), shape


def _asset(name: str) -> str:
    return (files("metrics.bench.report") / name).read_text()
