"""What several subcommands share."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Callable
from typing import Any

Commands = Any  # argparse keeps the type of add_subparsers() private

EXPERIMENT = "an experiment file, or the name of one under experiments/ (quickstart, ablation/3_cts)"
OVERRIDES = "settings to change, such as seed=1 or stages.joint.trainer.max_steps=500"


def add_command(
    commands: Commands, name: str, help: str, description: str, run: Callable[[argparse.Namespace], int | None]
) -> argparse.ArgumentParser:
    """Adds a subcommand whose ``--help`` is ``description``."""
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=help,
        description=textwrap.dedent(description).strip(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
    return parser


def add_experiment(parser: argparse.ArgumentParser) -> None:
    """Adds the experiment and its overrides."""
    parser.add_argument("experiment", metavar="EXPERIMENT", help=EXPERIMENT)
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help=OVERRIDES)
