"""``harmony bench``: measure a trained model."""

from __future__ import annotations

import argparse
from pathlib import Path

from harmony_lit.cli.arguments import Commands, add_command


def register(commands: Commands) -> None:
    """Adds the subcommand."""
    parser = add_command(
        commands,
        "bench",
        "sample held-out cases, measure them, write table, TensorBoard and report",
        """
        Sample the held-out cases of a run with and without guidance, measure every variant from pixels and samples
        alone, and write RUN/summary.json, RUN/report.html and bench/... scalars.

          harmony bench runs/quickstart
          harmony bench runs/quickstart bench.cases=12
        """,
        run,
    )
    parser.add_argument("run_path", type=Path, metavar="RUN", help="a run folder")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="changes to `bench` and `sampling`")
    parser.add_argument("--stage", help="weights of this stage (default: the last that is done)")


def run(arguments: argparse.Namespace) -> None:
    """Measures."""
    raise NotImplementedError
