"""``harmony perf memory``: what an experiment needs before it starts."""

from __future__ import annotations

import argparse

from harmony_lit.cli.arguments import Commands, add_command, add_experiment


def register(kinds: Commands) -> None:
    """Adds the subcommand of ``harmony perf``."""
    parser = add_command(
        kinds,
        "memory",
        "what each stage of an experiment, and sampling, will need",
        """
        Build every stage's model on the meta device, without memory for its values, and print what training and
        sampling need of the accelerator: weights, gradients, optimiser and moving average to the byte, activations by
        the formula in harmony_lit/experiment/memory.py.

          harmony perf memory quickstart
          harmony perf memory my.yaml fit.data.init_args.batch_size=1 sampling.init_args.offload=true
        """,
        run,
    )
    add_experiment(parser)


def run(arguments: argparse.Namespace) -> None:
    """Prints the table."""
    from harmony_lit.experiment.compose import compose
    from harmony_lit.experiment.validate import validate

    experiment = compose(arguments.experiment, arguments.overrides)
    validate(experiment)

    from harmony_lit.experiment.memory import needs, table

    print(table(needs(experiment)))
