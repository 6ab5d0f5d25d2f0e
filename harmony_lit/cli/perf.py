"""``harmony perf``: speed and memory, foretold and measured."""

from __future__ import annotations

import argparse

from harmony_lit.cli import perf_memory
from harmony_lit.cli.arguments import Commands, add_command


def register(commands: Commands) -> None:
    """Adds the subcommand and its own subcommands."""
    parser = commands.add_parser(
        "perf", help="speed and memory: what will be needed, and against the reference libraries"
    )
    kinds = parser.add_subparsers(dest="kind", required=True, metavar="KIND")
    _register_tower(kinds)
    perf_memory.register(kinds)


def _register_tower(kinds: Commands) -> None:
    parser = add_command(
        kinds,
        "tower",
        "the video tower against diffusers' Wan transformer",
        """
        Train one step of our video tower and of diffusers.WanTransformer3DModel with the same weights and inputs (TI2V
        timesteps, first frame clean), each in a process of its own, and compare time, peak memory and every gradient.
        The last line is JSON: time_ratio and memory_ratio (ours / diffusers, lower is better), max_rel_err.

          harmony perf tower
          harmony perf tower --layers 2 --no-compile
          harmony perf tower --device cuda --dtype bfloat16 --width 3072 --ffn-width 14336
        """,
        run_tower,
    )
    parser.add_argument("--width", type=int, default=1024, help="width, a multiple of 128 (default 1024)")
    parser.add_argument("--ffn-width", type=int, default=4800, help="hidden width of the feed-forward (default 4800)")
    parser.add_argument("--layers", type=int, default=8, help="layers (default 8)")
    parser.add_argument("--frames", type=int, default=8, help="latent frames (default 8)")
    parser.add_argument("--repeats", type=int, default=5, help="timed steps of each model, taken in turn (default 5)")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads (default 1)")
    parser.add_argument("--device", default="cpu", help="cpu or cuda (default cpu)")
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"], help="default float32")
    parser.add_argument("--no-compile", action="store_true", help="leave out the comparison of compiled models")


def run_tower(arguments: argparse.Namespace) -> None:
    """Measures and prints."""
    import json

    from harmony_lit.errors import UserError

    for name in ("width", "ffn_width", "layers", "frames", "repeats", "threads"):
        if getattr(arguments, name) < 1:
            raise UserError(f"--{name.replace('_', '-')} must be at least 1")
    if arguments.width % 128:
        raise UserError(f"--width must be a multiple of 128, the width of a head, not {arguments.width}")

    import torch

    from harmony_lit.perf.diffusers_wan import Shape
    from harmony_lit.perf.tower import Task, compare

    if arguments.device.startswith("cuda") and not torch.cuda.is_available():
        raise UserError("--device cuda: this machine has no CUDA device that PyTorch can use")
    shape = Shape(
        width=arguments.width, ffn_width=arguments.ffn_width, layers=arguments.layers, frames=arguments.frames
    )
    task = Task(True, shape, False, arguments.threads, arguments.device, arguments.dtype)
    report, numbers = compare(task, arguments.repeats, compiled=not arguments.no_compile)
    print(report)
    print(json.dumps({name: round(value, 4) if value > 1e-3 else value for name, value in numbers.items()}))
