"""``harmony fit``: train the stages of an experiment."""

from __future__ import annotations

import argparse

from harmony_lit.cli.arguments import Commands, add_command, add_experiment


def register(commands: Commands) -> None:
    """Adds the subcommand."""
    parser = add_command(
        commands,
        "fit",
        "train the stages of an experiment, or go on where it was interrupted",
        """
        Train the stages of an experiment, one after the other, into its run folder (runs/NAME).

        Everything is checked before anything starts. Killed or interrupted, the same command goes on from the last
        save and ends with the same weights, bit for bit.

          harmony fit quickstart
          harmony fit quickstart name=other seed=1 stages.joint.trainer.max_steps=500
          tensorboard --logdir runs/quickstart
        """,
        run,
    )
    add_experiment(parser)
    parser.add_argument("--fresh", action="store_true", help="remove what an earlier fit left in the run folder")


def run(arguments: argparse.Namespace) -> None:
    """Composes, checks and trains."""
    from harmony_lit.experiment.compose import compose

    experiment = compose(arguments.experiment, arguments.overrides)

    from harmony_lit.experiment.run import fit
    from harmony_lit.experiment.validate import validate

    validate(experiment)
    folder = fit(experiment, arguments.fresh)
    print(f"trained: {folder.path}\nwatch:   tensorboard --logdir {folder.path}")
