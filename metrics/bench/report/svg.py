"""Small inline pictures for the report: what was seen and heard in a clip, and curves of training."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

from metrics.base import OffsetCurve, Trace

TOLERANCE_S = 0.08
"""Events closer than this count as one in the picture (the tolerance of ``event_f1``)."""

_WIDTH, _HALF, _MARGIN = 240.0, 36.0, 10.0


def trace_svg(trace: Trace) -> str:
    """Motion above the line, sound below it, and a tick for each event: joined where the two meet."""
    height = 2 * (_HALF + _MARGIN)
    middle = height / 2
    parts = [f'<svg class="trace" viewBox="0 0 {_WIDTH:g} {height:g}" role="img">']
    if trace.visual_s or trace.audible_s:
        parts.append(f"<title>{len(trace.visual_s)} seen, {len(trace.audible_s)} heard</title>")
    parts.append(_area(trace.visual, middle, -_HALF, "seen"))
    parts.append(_area(trace.audible, middle, _HALF, "heard"))
    parts.append(f'<line class="axis" x1="0" x2="{_WIDTH:g}" y1="{middle:g}" y2="{middle:g}"/>')
    pairs = match_events(trace.visual_s, trace.audible_s)
    scale = _WIDTH / max(trace.duration_s, 1e-9)
    for seen_s, heard_s in pairs:
        x, y = seen_s * scale, heard_s * scale
        parts.append(f'<line class="pair" x1="{x:.1f}" x2="{y:.1f}" y1="5" y2="{height - 5:g}"/>')
    matched = ({v for v, _ in pairs}, {a for _, a in pairs})
    for times_s, known, y in ((trace.visual_s, matched[0], 5.0), (trace.audible_s, matched[1], height - 5)):
        for time_s in times_s:
            kind = "hit" if time_s in known else "miss"
            parts.append(f'<ellipse class="{kind}" cx="{time_s * scale:.1f}" cy="{y:g}" rx="3.4" ry="3.4"/>')
    parts.append(f'<line class="playhead" x1="0" x2="0" y1="0" y2="{height:g}"/></svg>')
    return "".join(parts)


def match_events(
    visual_s: Sequence[float], audible_s: Sequence[float], tolerance_s: float = TOLERANCE_S
) -> list[tuple[float, float]]:
    """Pairs of a visible and an audible event at most ``tolerance_s`` apart, nearest first, each used once."""
    candidates = sorted((abs(v - a), v, a) for v in visual_s for a in audible_s if abs(v - a) <= tolerance_s + 1e-9)
    pairs: list[tuple[float, float]] = []
    for _, v, a in candidates:
        if all(v != seen and a != heard for seen, heard in pairs):
            pairs.append((v, a))
    return sorted(pairs)


def curves_svg(curves: Mapping[str, Sequence[tuple[float, float]]], label: str) -> str:
    """Lines of (step, value), one per name, with axes and a legend; colours follow the order of the names."""
    width, height, left, bottom, top = 520.0, 220.0, 44.0, 24.0, 10.0
    points = [p for curve in curves.values() for p in curve]
    first, last = min(p[0] for p in points), max(p[0] for p in points)
    # A quantile, so that the spike of the first steps does not flatten the rest.
    high = sorted(p[1] for p in points)[int(0.99 * (len(points) - 1))] * 1.05
    low = min(0.0, *(p[1] for p in points))
    ticks = _ticks(low, high)
    high = max(high, ticks[-1])

    def place(step: float, value: float) -> tuple[float, float]:
        x = left + (width - left - 8) * (step - first) / max(last - first, 1e-9)
        y = top + (height - top - bottom) * (1 - (min(value, high) - low) / max(high - low, 1e-9))
        return x, y

    parts = [f'<svg class="curves" viewBox="0 0 {width:g} {height:g}" role="img"><title>{escape(label)}</title>']
    for tick in ticks:
        _, y = place(first, tick)
        parts.append(f'<line class="grid" x1="{left:g}" x2="{width - 8:g}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{left - 6:g}" y="{y + 3.5:.1f}" text-anchor="end">{tick:g}</text>')
    for step in _ticks(first, last):
        if first <= step <= last:
            x, _ = place(step, low)
            parts.append(f'<text x="{x:.1f}" y="{height - 7:g}" text-anchor="middle">{step:g}</text>')
    for index, (name, curve) in enumerate(curves.items()):
        path = " ".join("{:.1f},{:.1f}".format(*place(*point)) for point in _thinned(curve))
        parts.append(f'<polyline class="line c{index % 8}" points="{path}"><title>{escape(name)}</title></polyline>')
    return "".join(parts) + "</svg>"


def offset_svg(curve: OffsetCurve) -> str:
    """Distance of sound and picture at each offset, with a dot at the lowest and a line where they coincide."""
    height, pad = 44.0, 5.0
    first, last = curve.offsets_frames[0], curve.offsets_frames[-1]
    low, high = min(curve.distances), max(curve.distances)

    def place(offset: int, distance: float) -> tuple[float, float]:
        x = pad + (_WIDTH - 2 * pad) * (offset - first) / max(last - first, 1)
        return x, height - pad - (height - 2 * pad) * (distance - low) / max(high - low, 1e-9)

    points = [place(o, d) for o, d in zip(curve.offsets_frames, curve.distances, strict=True)]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    found = curve.offsets_frames[curve.distances.index(low)]
    zero = place(0, low)[0]
    x, y = place(found, low)
    return (
        f'<svg class="offset" viewBox="0 0 {_WIDTH:g} {height:g}" role="img">'
        f"<title>least distance {low:.2f} at an offset of {found} frames</title>"
        f'<line class="zero" x1="{zero:.1f}" x2="{zero:.1f}" y1="0" y2="{height:g}"/>'
        f'<polyline class="line" points="{path}"/><circle class="low" cx="{x:.1f}" cy="{y:.1f}" r="3.2"/></svg>'
    )


def _area(values: Sequence[float], base: float, reach: float, kind: str) -> str:
    if not values:
        return ""
    step = _WIDTH / max(len(values) - 1, 1)
    curve = " ".join(f"{i * step:.1f},{base + reach * min(1.0, max(0.0, v)):.1f}" for i, v in enumerate(values))
    return f'<polygon class="{kind}" points="0,{base:g} {curve} {_WIDTH:g},{base:g}"/>'


def _thinned(curve: Sequence[tuple[float, float]], most: int = 400) -> Sequence[tuple[float, float]]:
    return curve[:: max(1, math.ceil(len(curve) / most))]


def _ticks(low: float, high: float, wanted: int = 4) -> list[float]:
    """About ``wanted`` round numbers from ``low`` to ``high``."""
    raw = max(high - low, 1e-9) / wanted
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= raw * 0.999)
    count = math.floor((high - math.ceil(low / step) * step) / step + 1e-6)
    return [round((math.ceil(low / step) + i) * step, 10) for i in range(count + 1)]
