"""Progress with an estimate of the time left, for what takes longer than a glance."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

Advance = Callable[[float], None]
"""Told how much work was done since the last call."""


@contextmanager
def progress_bar(title: str, total: float) -> Iterator[Advance]:
    """A bar on the terminal's error stream, so that what a command prints can still be piped."""
    columns = (
        TextColumn("{task.description:<16}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(title, total=total)

        def advance(amount: float) -> None:
            bar.update(task, advance=amount)

        yield advance
