"""``harmony``: one command, each subcommand in a file of its own.

Subcommands import what they need when they run, so that ``--help`` answers at once.
"""

from __future__ import annotations

import argparse
import sys

from harmony_lit.cli import bench, config, data, fit, perf, sample, weights
from harmony_lit.cli.guard import guarded

EPILOG = """\
from nothing to a report:
  harmony data world runs/quickstart/clips --clips 1000
  harmony data encode runs/quickstart/clips runs/quickstart/latents --experiment quickstart
  harmony fit quickstart
  harmony sample runs/quickstart --prompt "a wooden ball bounces" -o ball.mp4
  harmony bench runs/quickstart

exit codes: 0 done, 1 failed, 2 a mistake in what was asked for, 130 interrupted
"""


def main(argv: list[str] | None = None) -> int:
    """Entry point of the console command; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="harmony",
        description="Joint audio-video generation: make data, train, sample and measure.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for room in (data, config, fit, sample, bench, weights, perf):
        room.register(commands)
    arguments, rest = parser.parse_known_args(argv)
    # argparse takes positional arguments in one piece only; overrides may also follow an option.
    if any(word.startswith("-") or "=" not in word for word in rest) or (rest and "overrides" not in arguments):
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    if rest:
        arguments.overrides = [*arguments.overrides, *rest]
    return guarded(lambda: arguments.run(arguments))


if __name__ == "__main__":
    sys.exit(main())
