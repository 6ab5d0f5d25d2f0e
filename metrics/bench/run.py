"""``harmony bench``: from a trained run to ``results.json``, ``summary.json``, TensorBoard and the report page."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.utils.tensorboard import SummaryWriter

from harmony_lit.errors import UserError
from harmony_lit.experiment.atomic import write_json
from harmony_lit.experiment.load import build, load_run
from harmony_lit.experiment.phases import phase, wall_seconds
from metrics.bench.bench import Bench
from metrics.bench.measuring import Findings
from metrics.bench.report import write_report
from metrics.bench.results import BenchResults
from metrics.bench.scoring import read_scored_clip
from metrics.bench.studio import Studio, autocast
from metrics.bench.tables import print_results
from metrics.summary_media import add_clip

_LOGGED_PER_SUBSET = 1


def bench_run(path: Path | str, stage: str | None = None, overrides: Sequence[str] = ()) -> BenchResults:
    """Measures a trained run as its experiment says under ``bench``, and prints the table.

    Args:
        path: The run folder, or a stage's folder or a checkpoint in it.
        stage: Whose weights to take; by default the last stage that has any.
        overrides: Changes to ``bench`` and ``sampling``, as ``bench.init_args.per_category=4``.

    Raises:
        UserError: If there is no trained run, or its experiment does not say what to measure.
    """
    loaded = load_run(path, stage, list(overrides))
    config = loaded.experiment.config
    if "bench" not in config:
        raise UserError(f"{loaded.run.config} has no `bench`; extend base/bench.yaml and run `harmony fit` again")
    bench: Bench = build(config["bench"], "bench")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    network, precision = loaded.network_on(device), loaded.precision
    frames, height, width = loaded.clip_size()
    studio = Studio(
        system=loaded.system,
        denoise=autocast(network, precision, device),
        sampler=loaded.sampler(),
        weights=f"{loaded.digest()} {precision}",
        frames=frames,
        height=height,
        width=width,
        batch_size=bench.batch_size,
        device=device,
    )
    parameters = sum(parameter.numel() for parameter in network.parameters())
    info = {**_start(loaded.run.path), "stage": loaded.stage, "precision": precision, "seed": config["seed"]}
    results = measure_run(loaded.run.path, bench, studio, parameters, info, config)
    print_results(results)
    return results


def measure_run(
    run: Path | str,
    bench: Bench,
    studio: Studio,
    parameters: int,
    info: Mapping[str, Any] | None = None,
    settings: Mapping[str, Any] | None = None,
) -> BenchResults:
    """Measures a trained run and writes all that there is to read about it.

    Under ``RUN``: ``bench/VARIANT/KEY.mp4`` and ``.flac``, ``bench/results.json``, ``summary.json``, ``report.html``,
    and the scalars and some clips of every variant in ``tb/bench``.

    Args:
        run: The run folder.
        bench: Cases, variants and metrics.
        studio: System, model and sampler of the run.
        parameters: Number of the model's parameters.
        info: Name, version and the like, for the results.
        settings: The composed experiment, for the report.
    """
    run = Path(run)
    found = bench.run(run, studio, {"name": run.name, **(info or {})})
    with phase(run, "bench report"):
        found.results.save(run / "bench" / "results.json")
        log_results(run, found.results)
        facts = _facts(found.results, studio, parameters, wall_seconds(run))
        write_report(run / "report.html", found, run / "bench", facts, settings)
    summary = {
        "wall_s": wall_seconds(run),
        "parameters": parameters,
        "codec": codec_summary(found),
        "bench": found.results.table(),
    }
    write_json(run / "summary.json", summary)
    return found.results


def codec_summary(found: Findings) -> dict[str, Any]:
    """What the codecs keep: errors of the round trip, and each measure on the truth and after it."""
    results, truth, trip = found.results, "ground_truth", "codec_roundtrip"
    if trip not in results.variants:
        return {}
    summary: dict[str, Any] = {name: round(value, 3) for name, value in found.notes[trip].items()}
    if truth in results.variants:
        for measure in results.measures:
            pair = {"truth": results.mean(truth, measure.key), "round_trip": results.mean(trip, measure.key)}
            if not any(math.isnan(value) for value in pair.values()):
                summary[measure.key] = {name: round(value, 4) for name, value in pair.items()}
    return summary


def log_results(run: Path, results: BenchResults) -> None:
    """Writes means as ``bench/VARIANT/MEASURE`` and a clip per subset of each variant to ``RUN/tb/bench``."""
    for stale in (run / "tb" / "bench").glob("events.out.tfevents.*"):
        stale.unlink()
    with SummaryWriter(str(run / "tb" / "bench")) as writer:
        for name, means in results.table().items():
            for key, value in means.items():
                writer.add_scalar(f"bench/{name}/{key}", value, 0)
        for subset in results.subsets:
            for case in [c for c in results.cases if c.category == subset][:_LOGGED_PER_SUBSET]:
                for name, variant in results.variants.items():
                    if case.key in variant.clips:
                        clip = read_scored_clip(run / "bench" / variant.clips[case.key])
                        add_clip(writer, f"bench/{subset}_{case.key}/{name}", clip, 0)


def _start(run: Path) -> dict[str, Any]:
    """Version, commit and time of the run's last start."""
    log = run / "version.json"
    if not log.is_file():
        return {}
    last = json.loads(log.read_text())["starts"][-1]
    git = last.get("git") or {}
    commit = f"{git['commit'][:10]}{' with changes' if git['dirty'] else ''}" if git else None
    facts = {"version": last.get("harmony-lit"), "commit": commit, "torch": last.get("torch"), "started": last["time"]}
    return {name: value for name, value in facts.items() if value is not None}


def _facts(results: BenchResults, studio: Studio, parameters: int, wall_s: Mapping[str, float]) -> dict[str, str]:
    minutes, seconds = divmod(round(wall_s.get("total", 0)), 60)
    geometry = studio.system.geometry
    return {
        "parameters": f"{parameters / 1e6:.1f} M" if parameters >= 1e6 else f"{parameters:,}",
        "clips": f"{studio.width}×{studio.height}, {geometry.duration_s(studio.frames):.2f} s",
        "cases": str(len(results.cases)),
        "sampling": f"{studio.sampler.steps} steps, shift {studio.sampler.video_shift:g}",
        "wall time": f"{minutes} min {seconds} s",
    }
