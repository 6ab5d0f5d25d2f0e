"""``python -m metrics.sync [WEIGHTS [CLIPS]]``: a SyncNet on held-out clips of the world, as a table."""

from __future__ import annotations

import dataclasses
import sys

from rich.console import Console
from rich.table import Table

from metrics.bench.cases import CATEGORIES
from metrics.faces.base import WholePicture
from metrics.networks import Runtime
from metrics.sync.check import check_sync
from metrics.sync.checkpoint import load_syncnet, locate
from metrics.world.check import true_clips


def main() -> None:
    """Checks the first validation clips of the world, after mp4, by category."""
    weights = sys.argv[1] if len(sys.argv) > 1 else "world"
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 180
    network = load_syncnet(str(locate(weights)), Runtime("cpu"))
    pairs = true_clips(count)
    columns = {
        category: dataclasses.asdict(
            check_sync(network, [clip for clip, note in pairs if note.category == category], WholePicture())
        )
        for category in CATEGORIES
    }
    table = Table("measure", *columns, title=f"{weights} on {count} true clips, after mp4")
    for name in next(iter(columns.values())):
        table.add_row(name, *(f"{column[name]:.3f}" for column in columns.values()))
    Console().print(table)


if __name__ == "__main__":
    main()
