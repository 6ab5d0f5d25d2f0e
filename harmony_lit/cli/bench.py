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
        Sample the held-out cases of a run, measure every variant from pixels and samples alone, and write
        RUN/summary.json, RUN/report.html and bench/... scalars. Interrupted, the same command goes on.

          harmony bench runs/quickstart
          harmony bench runs/quickstart bench.init_args.per_category=4 sampling.init_args.steps=10
          harmony bench runs/quickstart --stage timbre
        """,
        run,
    )
    parser.add_argument("run_path", type=Path, metavar="RUN", help="a run folder, or a checkpoint in one")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="changes to `bench` and `sampling`")
    parser.add_argument("--stage", help="weights of this stage (default: the last that has any)")


def run(arguments: argparse.Namespace) -> None:
    """Measures."""
    from harmony_lit.experiment.load import locate
    from harmony_lit.experiment.phases import phase

    folder = locate(arguments.run_path)[0].path
    with phase(folder, "bench start", whole_process=True):
        from metrics.bench.run import bench_run
    bench_run(arguments.run_path, arguments.stage, arguments.overrides)
    print(f"\nwatch:  tensorboard --logdir {folder}\nreport: {folder / 'report.html'}")
