"""A trained model as a folder that stands by itself."""

from __future__ import annotations

import copy
import json
import shutil
from pathlib import Path

from harmony_lit.errors import UserError
from harmony_lit.experiment.atomic import write_text
from harmony_lit.experiment.compose import Experiment
from harmony_lit.experiment.load import find_weights, locate
from harmony_lit.experiment.run_folder import RunFolder
from harmony_lit.experiment.verify import build_on_meta
from harmony_lit.experiment.weights import export_weights, own_piece
from harmony_lit.pretrained import convert
from harmony_lit.pretrained.layout import Layout
from harmony_lit.pretrained.layouts import HARMONY
from harmony_lit.pretrained.save import refuse_existing


def export(
    path: Path, out: Path, layout: Layout = HARMONY, stage: str | None = None, max_shard_bytes: int = 5 * 10**9
) -> tuple[str, int]:
    """Writes the model of a run with what builds it: our configuration, or the ``config.json`` of the layout.

    Args:
        path: A run folder, a stage's folder, or a checkpoint or weights file in one.
        out: A new folder.
        layout: What to write it in: our own, or that of a part of it.
        stage: Whose weights; by default the last stage that has any.
        max_shard_bytes: Size of a file in layouts that are not ours.

    Returns:
        Name of the stage, and the number of tensors.

    Raises:
        UserError: If there is no such run or stage, ``out`` is there already, or the model is not of that layout.
    """
    refuse_existing(out)
    if out.suffix == ".safetensors":
        raise UserError(f"{out}: name a folder; the weights and what builds the model lie in it")
    run, named, file = locate(path)
    experiment = run.experiment()
    name, weights = find_weights(run, experiment, stage or named, file)
    if layout.name == HARMONY.name:
        return name, _ours(experiment, name, weights, out)
    piece = own_piece(weights)
    conversion = convert.plan(piece.source, piece.layout, layout)
    convert.write(conversion, out, max_shard_bytes)
    if layout.config is not None:
        part = build_on_meta(experiment, name).get_submodule(layout.part)
        write_text(out / "config.json", json.dumps(layout.config(part), indent=2) + "\n")
    return name, len(conversion.like)


def _ours(experiment: Experiment, stage: str, weights: Path, out: Path) -> int:
    """A folder that is read as a run is; the one stage has begun with nothing, as it has all that it needs."""
    config = copy.deepcopy(experiment.config)
    config["stages"] = {stage: {**config["stages"][stage], "start_from": None}}
    target = RunFolder(out)
    try:
        if weights.suffix == ".safetensors":
            out.mkdir(parents=True)
            shutil.copyfile(weights, target.exported)
        else:
            export_weights(weights, target.exported)
        write_text(target.config, Experiment(config).to_yaml())
    except BaseException:
        shutil.rmtree(out, ignore_errors=True)
        raise
    return len(own_piece(target.exported).source.shapes)
