"""Results as tables on the terminal."""

from __future__ import annotations

import math

from rich.console import Console
from rich.table import Table

from metrics.bench.results import OVERALL, BenchResults
from metrics.bench.titles import measure_title, title


def print_results(results: BenchResults) -> None:
    """Prints the means over subsets, and what could not run or be read; the better of the models is bold."""
    console = Console()
    console.print(means_table(results))
    for measure in results.ran:
        for name in results.variants:
            for why, count in results.exclusions(name, measure.key).items():
                console.print(f"{measure_title(measure)}, {title(name)}: {count} clips excluded: {why}", style="dim")
    for needs in dict.fromkeys(results.not_run.values()):
        names = ", ".join(measure_title(m) for m in results.measures if results.not_run.get(m.key) == needs)
        console.print(f"{names}: not run: needs {needs}", style="dim")


def means_table(results: BenchResults, subset: str = OVERALL) -> Table:
    """A row for each variant, a column for each measure that ran and applied to anything."""
    table = Table(title=f"{results.info.get('name', 'bench')}: {len(results.cases)} cases")
    table.add_column("")
    shown = [m for m in results.ran if any(not math.isnan(results.mean(v, m.key, subset)) for v in results.variants)]
    for measure in shown:
        table.add_column(f"{measure_title(measure)} {measure.arrow}", justify="right")
    for name, variant in results.variants.items():
        cells = []
        for measure in shown:
            value = results.mean(name, measure.key, subset)
            text = "-" if math.isnan(value) else f"{value:.{measure.digits}f}"
            cells.append(f"[bold]{text}[/]" if results.best(measure, subset) == name else text)
        table.add_row(title(name), *cells, style="" if variant.role == "model" else "dim")
    return table
