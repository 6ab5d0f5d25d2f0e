"""``harmony data``: make clips and encode them."""

from __future__ import annotations

import argparse
from pathlib import Path

from harmony_lit.cli.arguments import EXPERIMENT, OVERRIDES, Commands, add_command


def register(commands: Commands) -> None:
    """Adds the subcommand and its own subcommands."""
    parser = commands.add_parser("data", help="make clips, and encode clips into latents")
    kinds = parser.add_subparsers(dest="kind", required=True, metavar="KIND")
    _register_world(kinds)
    _register_encode(kinds)


def _register_world(kinds: Commands) -> None:
    parser = add_command(
        kinds,
        "world",
        "generate annotated clips of the synthetic world",
        """
        Generate clips of the synthetic world as webdataset shards: things that strike things, faces that speak, and
        both at once, each annotated with what happens when. The same seed gives the same bytes.

          harmony data world runs/quickstart/clips --clips 1200
        """,
        run_world,
    )
    parser.add_argument("out", type=Path, metavar="OUT", help="folder of the shards")
    parser.add_argument("--clips", type=int, required=True, help="clips of the training split")
    parser.add_argument("--seed", type=int, default=0, help="seed of the world (default 0)")


def _register_encode(kinds: Commands) -> None:
    parser = add_command(
        kinds,
        "encode",
        "encode shards of clips into shards of latents",
        """
        Encode clips, captions and reference audio with the codecs and the text encoder of an experiment. Latents are
        keyed by content: what changed is encoded again, and nothing else.

          harmony data encode runs/quickstart/clips runs/quickstart/latents --experiment quickstart
        """,
        run_encode,
    )
    parser.add_argument("source", type=Path, metavar="CLIPS", help="folder of clip shards")
    parser.add_argument("out", type=Path, metavar="OUT", help="folder of the latent shards")
    parser.add_argument("--experiment", required=True, help=f"whose system encodes: {EXPERIMENT}")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help=OVERRIDES)


def run_world(arguments: argparse.Namespace) -> None:
    """Generates clips."""
    from data.world import generate

    generate(arguments.out, clips=arguments.clips, seed=arguments.seed)


def run_encode(arguments: argparse.Namespace) -> None:
    """Encodes clips."""
    from data.latents import encode_shards
    from harmony_lit.experiment.compose import compose
    from harmony_lit.experiment.load import build_system

    experiment = compose(arguments.experiment, arguments.overrides)
    encode_shards(arguments.source, arguments.out, build_system(experiment))
