"""``harmony data``: make clips and encode them."""

from __future__ import annotations

import argparse
import contextlib
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

          harmony data world runs/quickstart/clips --clips 1000
        """,
        run_world,
    )
    parser.add_argument("out", type=Path, metavar="OUT", help="folder of the shards")
    parser.add_argument("--clips", type=int, required=True, help="clips of the training split")
    parser.add_argument("--val-clips", type=int, default=48, help="clips of the validation split (default 48)")
    parser.add_argument("--test-clips", type=int, default=96, help="clips of the test split (default 96)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the world (default 0)")
    parser.add_argument("--size", type=int, default=64, help="height and width in pixels (default 64)")
    parser.add_argument("--frames", type=int, default=61, help="frames of a clip, 1 + 4k (default 61)")
    parser.add_argument("--workers", type=int, default=2, help="processes; changes nothing but speed (default 2)")
    parser.add_argument("--run", dest="run_path", type=Path, metavar="RUN", help="count the time as this run's")


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
    parser.add_argument("--run", dest="run_path", type=Path, metavar="RUN", help="count the time as this run's")


def run_world(arguments: argparse.Namespace) -> None:
    """Generates clips."""
    from data.world import WorldConfig, generate

    with _timed(arguments.run_path, "world"):
        generate(
            arguments.out,
            clips=arguments.clips,
            seed=arguments.seed,
            val_clips=arguments.val_clips,
            test_clips=arguments.test_clips,
            config=WorldConfig(size=arguments.size, frames=arguments.frames),
            workers=arguments.workers,
        )


def run_encode(arguments: argparse.Namespace) -> None:
    """Encodes clips."""
    from harmony_lit.experiment.compose import compose

    experiment = compose(arguments.experiment, arguments.overrides)

    from data.latents import encode_shards
    from harmony_lit.experiment.load import build_system

    with _timed(arguments.run_path, "encode"):
        encode_shards(arguments.source, arguments.out, build_system(experiment))


def _timed(run: Path | None, name: str) -> contextlib.AbstractContextManager[None]:
    """Counts the work as a phase of a run, if one is named."""
    from harmony_lit.experiment.phases import phase

    return contextlib.nullcontext() if run is None else phase(run, name, whole_process=True)
