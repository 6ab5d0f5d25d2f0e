"""``python -m metrics.world [CLIPS]``: the world's detectors against the truth, as a table."""

from __future__ import annotations

import dataclasses
import sys

from rich.console import Console
from rich.progress import track
from rich.table import Table

from data.world import WorldConfig
from metrics.world.check import check_detectors, true_clips


def main() -> None:
    """Checks the first validation clips at two picture sizes and prints what was measured."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 180
    sizes = (64, 128)
    columns = [
        dataclasses.asdict(check_detectors(true_clips(count, WorldConfig(size=size))))
        for size in track(sizes, "checking", transient=True)
    ]
    table = Table("measure", *(f"{size} pixels" for size in sizes), title=f"{count} true clips, after mp4")
    for name in columns[0]:
        table.add_row(name, *(f"{column[name]:.3f}" for column in columns))
    Console().print(table)


if __name__ == "__main__":
    main()
