"""``harmony bench``: measure a trained model, or clips from anywhere."""

from __future__ import annotations

import argparse
from pathlib import Path

from harmony_lit.cli.arguments import Commands, add_command
from harmony_lit.errors import UserError


def register(commands: Commands) -> None:
    """Adds the subcommand."""
    parser = add_command(
        commands,
        "bench",
        "measure a trained run, folders of clips from any model, or compare results",
        """
        A run: sample its held-out cases, measure every variant from pixels and samples alone, and write
        RUN/bench/results.json, RUN/summary.json, RUN/report.html and bench/... scalars. Interrupted, the same command
        goes on.

          harmony bench runs/quickstart
          harmony bench runs/quickstart bench.init_args.per_category=4 sampling.init_args.steps=10
          harmony bench runs/quickstart --stage timbre

        Folders of clips: score KEY.mp4 for every case KEY of a table, whoever made them. Metrics whose weights or
        packages are not there say what they need. Without a table each clip stands for itself.

          harmony bench clips/
          harmony bench ours/ theirs/ --cases cases.jsonl --out scores/ paths.syncnet=weights/syncnet_v2.model

        Results: side by side, over the cases that they have in common.

          harmony bench --compare runs/a runs/b scores/results.json --out comparison/
        """,
        run,
    )
    parser.add_argument(
        "given",
        nargs="+",
        metavar="PATH | KEY=VALUE",
        help="a run or checkpoint, or folders of clips; and changes to `bench`, `sampling` and `paths`",
    )
    parser.set_defaults(overrides=[])
    parser.add_argument("--stage", help="of a run: weights of this stage (default: the last that has any)")
    parser.add_argument("--cases", metavar="TABLE", help="of folders: the table of cases (.jsonl), or `harmony`")
    parser.add_argument("--metrics", default="bench/clips", metavar="EXPERIMENT", help="of folders: what to measure")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="where results go (of folders: FIRST/bench)")
    parser.add_argument("--compare", action="store_true", help="the paths lead to results; put them side by side")


def run(arguments: argparse.Namespace) -> None:
    """Measures."""
    tokens: list[str] = [*arguments.given, *arguments.overrides]
    overrides = [token for token in tokens if "=" in token and not Path(token).exists()]
    paths = [Path(token) for token in tokens if token not in overrides]
    if not paths:
        raise UserError("name a run, a folder of clips, or with --compare some results")
    if arguments.compare:
        from metrics.bench.compare import compare

        compare(paths, arguments.out)
    elif all(holds_clips(path) for path in paths):
        from metrics.bench.folders import bench_folders

        out = arguments.out or paths[0] / "bench"
        bench_folders(paths, arguments.cases, out, arguments.metrics, overrides)
        print(f"\nresults: {out / 'results.json'}\nreport:  {out / 'report.html'}")
    elif len(paths) > 1:
        wrong = next(path for path in paths if not holds_clips(path))
        raise UserError(f"{wrong} is no folder with .mp4 files; measure runs one at a time, then --compare them")
    elif arguments.cases or arguments.out:
        raise UserError("--cases and --out are for folders of clips; for a run write bench.init_args.cases=TABLE")
    else:
        _bench_run(paths[0], arguments.stage, overrides)


def holds_clips(path: Path) -> bool:
    """Whether ``path`` is a folder of clips, and not of a run."""
    return path.is_dir() and not (path / "config.yaml").is_file() and any(path.glob("*.mp4"))


def _bench_run(path: Path, stage: str | None, overrides: list[str]) -> None:
    from harmony_lit.experiment.load import locate
    from harmony_lit.experiment.phases import phase

    folder = locate(path)[0].path
    with phase(folder, "bench start", whole_process=True):
        from metrics.bench.run import bench_run
    bench_run(path, stage, overrides)
    print(f"\nwatch:  tensorboard --logdir {folder}\nreport: {folder / 'report.html'}")
