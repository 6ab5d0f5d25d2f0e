"""``harmony weights``: what published weights are, whether they fit, and ours or theirs in another layout."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from harmony_lit.cli.arguments import EXPERIMENT, OVERRIDES, Commands, add_command
from harmony_lit.errors import UserError

PATH = "a .safetensors, .pth, .pt, .ckpt or .bin file, an .index.json, or a folder that holds one of these"


def register(commands: Commands) -> None:
    """Adds the subcommand and its own subcommands."""
    parser = commands.add_parser("weights", help="look at published weights, check them, convert them")
    kinds = parser.add_subparsers(dest="kind", required=True, metavar="KIND")
    _register_inspect(kinds)
    _register_convert(kinds)
    _register_verify(kinds)
    _register_export(kinds)


def _register_inspect(kinds: Commands) -> None:
    parser = add_command(
        kinds,
        "inspect",
        "say what a weights file is and where it goes",
        """
        Say what a weights file is: layout, publisher, licence, the part of the system that it fills, tensors,
        parameters, types and size, and what would load where. Only names and shapes are read.

          harmony weights inspect Wan2.2-TI2V-5B/
          harmony weights inspect ovi/model.safetensors --names
          harmony weights inspect ovi/model.safetensors --experiment my.yaml   also what is missing and left over
        """,
        run_inspect,
    )
    parser.add_argument("path", type=Path, metavar="PATH", help=PATH)
    parser.add_argument("--names", action="store_true", help="list where each kind of tensor goes")
    parser.add_argument("--experiment", help=f"whose model the file is held against: {EXPERIMENT}")
    _add_target(parser)


def _register_convert(kinds: Commands) -> None:
    parser = add_command(
        kinds,
        "convert",
        "write weights in another layout",
        """
        Write weights in another layout of the same part, as safetensors, one tensor after the other. A wider file
        gives a narrower layout too: a stage's weights give the video tower as diffusers has it.

          harmony weights convert Wan2.2-TI2V-5B/ wan-diffusers/ --to wan-diffusers
          harmony weights convert runs/mine/stages/joint/weights.safetensors video/ --to wan-diffusers
        """,
        run_convert,
    )
    parser.add_argument("path", type=Path, metavar="PATH", help=PATH)
    parser.add_argument("out", type=Path, metavar="OUT", help="a new folder, or a new .safetensors file")
    parser.add_argument("--to", required=True, metavar="LAYOUT", help="wan-original, wan-diffusers, ...")
    _add_shard_size(parser)


def _register_verify(kinds: Commands) -> None:
    parser = add_command(
        kinds,
        "verify",
        "check that weights fit an experiment's model",
        """
        Build an experiment's model without memory for its values, and hold the names and shapes of a weights file
        against it, as the stage would when it starts from the file. Exit code 0 if what the file fills is filled to the
        last tensor, but for what the stage's start_from.may_be_missing lists; 2 with the difference.

          harmony weights verify Wan2.2-TI2V-5B/ --experiment my.yaml
          harmony weights verify ovi/model.safetensors --experiment my.yaml --part network.video
        """,
        run_verify,
    )
    parser.add_argument("path", type=Path, metavar="PATH", help=PATH)
    parser.add_argument("--experiment", required=True, help=f"whose model: {EXPERIMENT}")
    _add_target(parser)


def _register_export(kinds: Commands) -> None:
    parser = add_command(
        kinds,
        "export",
        "write a trained model as a folder that stands by itself",
        """
        Write the model of a run as safetensors with the configuration that builds it, adapters merged. In our own
        layout `harmony sample OUT` makes from it what it makes from the run; in wan-diffusers the video tower alone is
        what diffusers.WanTransformer3DModel.from_pretrained(OUT) loads. Codecs and encoders are not copied.

          harmony weights export runs/mine model/
          harmony weights export runs/mine video/ --layout wan-diffusers
        """,
        run_export,
    )
    parser.add_argument("run_path", type=Path, metavar="RUN", help="a run folder, a stage's folder, or a checkpoint")
    parser.add_argument("out", type=Path, metavar="OUT", help="a new folder")
    parser.add_argument("--layout", default="harmony", help="harmony (default), wan-diffusers, wan-original, ...")
    parser.add_argument("--stage", help="weights of this stage (default: the last that has any)")
    _add_shard_size(parser)


def _add_shard_size(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--max-shard-size", default="5GB", metavar="SIZE", help="largest file, such as 500MB (default 5GB)"
    )


def _add_target(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help=OVERRIDES)
    parser.add_argument("--stage", help="whose model, by default the last stage's")
    parser.add_argument(
        "--part", help="what the file shall fill, such as network.video; by default what the stage says, else all"
    )


def run_inspect(arguments: argparse.Namespace) -> None:
    """Prints what a file is."""
    from harmony_lit.experiment.compose import compose
    from harmony_lit.experiment.weights import published_piece
    from harmony_lit.pretrained import describe, open_weights

    if arguments.experiment is None and (arguments.overrides or arguments.stage):
        raise UserError("settings and --stage are an experiment's: name it with --experiment")
    source = open_weights(arguments.path)
    piece = published_piece(source, arguments.part)
    lines = [str(source.path), *describe.facts(source, piece.layout), "goes to", *describe.parts(piece)]
    if arguments.names:
        lines += ["by name", *describe.places(piece)]
    if arguments.experiment is not None:
        from harmony_lit.experiment.verify import fit_to

        experiment = compose(arguments.experiment, arguments.overrides)
        fitting = fit_to(experiment, source, arguments.stage, arguments.part)
        lines += [f"in experiment {experiment.name}", *describe.coverage(fitting.module, fitting.comparison)]
    print("\n".join(lines))


def run_convert(arguments: argparse.Namespace) -> None:
    """Writes another layout."""
    from harmony_lit.pretrained import convert, detect, layout_named, open_weights
    from harmony_lit.pretrained.source import some

    target = layout_named(arguments.to)
    size = _bytes(arguments.max_shard_size)
    source = open_weights(arguments.path)
    conversion = convert.plan(source, detect(source), target)
    convert.write(conversion, arguments.out, size)
    print(f"{arguments.out}: {len(conversion.like):,} tensors in the layout {target.name}")
    if conversion.left_out:
        print(f"left out, as {target.name} has no place for them: {some(conversion.left_out)}")


def run_verify(arguments: argparse.Namespace) -> None:
    """Compares a file with a model."""
    from harmony_lit.experiment.compose import compose

    experiment = compose(arguments.experiment, arguments.overrides)

    from harmony_lit.experiment.verify import fit_to
    from harmony_lit.pretrained import open_weights
    from harmony_lit.pretrained.source import some

    fitting = fit_to(experiment, open_weights(arguments.path), arguments.stage, arguments.part)
    if problems := fitting.comparison.problems():
        raise UserError(f"{arguments.path} does not fit experiment '{experiment.name}': {problems}")
    filled = " and ".join(part or "the whole model" for part in fitting.parts)
    print(f"{arguments.path}: fits, {len(fitting.comparison.placed):,} tensors fill {filled}")
    if fresh := fitting.comparison.fresh:
        print(f"{len(fresh):,} begin afresh, as the stage allows: {some(fresh)}")


def run_export(arguments: argparse.Namespace) -> None:
    """Writes a trained model."""
    from harmony_lit.experiment.export import export
    from harmony_lit.pretrained import layout_named

    layout, size = layout_named(arguments.layout), _bytes(arguments.max_shard_size)
    stage, tensors = export(arguments.run_path, arguments.out, layout, arguments.stage, size)
    print(f"{arguments.out}: {tensors:,} tensors of stage {stage} in the layout {layout.name}")


def _bytes(text: str) -> int:
    """Bytes of ``5GB`` or ``500MB``, in powers of ten as diffusers has them."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(B|KB|MB|GB)", text.upper())
    if found is None or float(found[1]) == 0:
        raise UserError(f"--max-shard-size: write a size such as 5GB or 500MB, not '{text}'")
    return int(float(found[1]) * 1000 ** ["B", "KB", "MB", "GB"].index(found[2]))
