"""``harmony perf``: speed and memory."""

from __future__ import annotations

from harmony_lit.cli import perf_memory
from harmony_lit.cli.arguments import Commands


def register(commands: Commands) -> None:
    """Adds the subcommand and its own subcommands."""
    parser = commands.add_parser("perf", help="what an experiment needs of memory")
    kinds = parser.add_subparsers(dest="kind", required=True, metavar="KIND")
    perf_memory.register(kinds)
