"""What the paper prints: the order of its columns and the numbers of its Table 2."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from metrics.base import Measure

GROUPS: Mapping[str, tuple[str, ...]] = {
    "video": ("aq", "iq", "dd", "ms", "id"),
    "audio": ("pq", "pc", "ce", "cu", "wer", "ib_a"),
    "sync": ("sync_c", "sync_d", "desync", "ib"),
}
COLUMNS = tuple(key for keys in GROUPS.values() for key in keys)
"""Measure keys in the order of the paper's tables."""

NOTE = (
    "Table 2 of the paper, mean over its three subsets: other people's numbers, measured by them with their own "
    "cases, detectors and protocol. The cases were never released, so no row here can be compared with ours to a "
    "digit; and where ours are of the synthetic world, judged by networks made for it, they share no more than a name."
)

_ROWS = {
    "MM-Diffusion": ".32 .43 .13 .99 - 5.37 4.07 4.27 5.89 - - - - - .12",
    "JavisDiT": ".34 .53 .38 .99 .38 5.46 2.24 3.19 4.54 1.00 .14 .89 11.62 1.13 .18",
    "UniVerse-1": ".52 .67 .24 .99 .89 5.52 2.13 3.63 4.84 .24 .07 .97 10.71 1.10 .12",
    "Ovi": ".57 .65 .34 .99 .90 6.19 2.13 4.44 5.84 .49 .12 4.04 9.62 1.14 .18",
    "Harmony": ".59 .65 .36 .99 .91 6.39 2.05 4.73 5.67 .15 .12 5.61 7.53 .92 .19",
}
TABLE_2: Mapping[str, Mapping[str, float]] = {
    model: {key: float(text) for key, text in zip(COLUMNS, row.split(), strict=True) if text != "-"}
    for model, row in _ROWS.items()
}
"""Model to measure key to value (arXiv 2511.21579, Table 2); what the paper leaves out is left out."""


def in_paper_order(measures: Sequence[Measure]) -> tuple[Measure, ...]:
    """The paper's columns first, in its order, then the others in theirs."""
    return tuple(sorted(measures, key=lambda m: COLUMNS.index(m.key) if m.key in COLUMNS else len(COLUMNS)))
