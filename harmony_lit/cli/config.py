"""``harmony config``: print what would run."""

from __future__ import annotations

import argparse

from harmony_lit.cli.arguments import Commands, add_command, add_experiment


def register(commands: Commands) -> None:
    """Adds the subcommand."""
    parser = add_command(
        commands,
        "config",
        "print what an experiment will run",
        """
        Print an experiment as it will run: everything that it extends merged, overrides laid on, references resolved,
        every stage written out.

          harmony config quickstart
          harmony config ablation/3_cts stages.joint.trainer.max_steps=10
          harmony config quickstart --check     also hold it against the signatures of its classes
        """,
        run,
    )
    add_experiment(parser)
    parser.add_argument("--check", action="store_true", help="also check every name and type, as `harmony fit` does")


def run(arguments: argparse.Namespace) -> None:
    """Prints the composed experiment."""
    from harmony_lit.experiment.compose import compose

    experiment = compose(arguments.experiment, arguments.overrides)
    if arguments.check:
        from harmony_lit.experiment.validate import validate

        validate(experiment)
    print(experiment.to_yaml(), end="")
