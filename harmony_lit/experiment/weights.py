"""Weights that a stage leaves, and those that a stage begins with."""

from __future__ import annotations

from pathlib import Path

from harmony_lit.errors import UserError
from harmony_lit.experiment import elsewhere
from harmony_lit.experiment.atomic import write_text
from harmony_lit.experiment.checkpoints import read_checkpoint
from harmony_lit.experiment.run_folder import RunFolder
from harmony_lit.experiment.stage import StartFrom
from harmony_lit.pretrained.adapters import adapter_tensors, merging
from harmony_lit.pretrained.layouts import HARMONY, detect
from harmony_lit.pretrained.load import Piece
from harmony_lit.pretrained.save import save_file
from harmony_lit.pretrained.source import Tensors, WeightSource, open_weights


def export_weights(checkpoint: Path, target: Path) -> None:
    """Writes all weights of a checkpoint, the moving average if it has one, adapters merged, as safetensors."""
    piece = own_piece(checkpoint)
    names = piece.names()
    like = {name: piece.meta(name, published) for name, published in names.items()}
    save_file(target, like, lambda name: piece.read(name, names[name]))


def export_adapters(checkpoint: Path, target: Path) -> None:
    """Writes the adapters of a checkpoint, if it has any, as the folder that ``PeftModel.from_pretrained`` reads."""
    content = read_checkpoint(checkpoint)
    if (lora := content.get("lora")) is not None:
        tensors = adapter_tensors(content["state_dict"], inside="network")
        save_file(target / "adapter_model.safetensors", tensors, tensors.__getitem__)
        write_text(target / "adapter_config.json", lora["config"] + "\n")


def read_start(start: StartFrom, run: RunFolder) -> list[Piece]:
    """The weights that ``start_from`` names: those of a stage or file, and over them the published ones.

    Raises:
        UserError: If a file is missing, unreadable or in no layout that is known.
    """
    pieces = []
    if start.stage is not None:
        folder = run.stage(start.stage)
        pieces.append(own_piece(folder.checkpoint if start.weights == "raw" else folder.weights, start.weights))
    elif start.path is not None:
        pieces.append(own_piece(_find(Path(start.path), start.weights), start.weights))
    return pieces + read_published(start)


def read_published(start: StartFrom) -> list[Piece]:
    """The published weights that ``start_from`` names, at their places in a stage's model.

    Raises:
        UserError: If a file is missing, unreadable, in no layout that is known, or for no part of a stage's model.
    """
    pieces = [published_piece(open_weights(given.path), given.part) for given in start.pretrained]
    for piece in pieces:
        if piece.layout.part.startswith("system."):
            raise UserError(
                f"{piece.source.path} ({piece.layout.name}) is for {piece.layout.part}: name it in the settings of that"
            )
    return pieces


def own_piece(path: Path, which: str = "ema") -> Piece:
    """All weights of a stage, from a ``.safetensors`` file or a checkpoint.

    Args:
        path: The file.
        which: ``ema`` or ``raw``. With Lightning's EMA callback a checkpoint's ``state_dict`` is the moving average
            and ``current_model_state`` what is trained; without it ``state_dict`` is all there is.
    """
    if path.suffix == ".safetensors":
        return Piece(open_weights(path), HARMONY)
    checkpoint = read_checkpoint(path)
    state = checkpoint["state_dict"]
    if which == "raw":
        state = checkpoint.get("current_model_state", state)
    source: WeightSource = Tensors(path, state)
    if names := checkpoint.get(elsewhere.KEY):
        source = elsewhere.Completed(path, state, names, _start_of(path))
    lora = checkpoint.get("lora")
    return Piece(source, HARMONY if lora is None else merging(HARMONY, lora["scale"]))


def _start_of(checkpoint: Path) -> list[Piece]:
    """What the stage that wrote ``checkpoint`` began with."""
    folder = checkpoint.resolve().parent
    run = RunFolder(folder.parent.parent)
    if not run.config.is_file():
        raise UserError(f"{checkpoint} leaves out weights that its run began with: read it in the run's folder")
    return read_start(StartFrom.of(run.experiment().stages[folder.name]["start_from"]), run)


def published_piece(source: WeightSource, part: str | None = None) -> Piece:
    """Published weights at their place in a stage's model.

    Args:
        source: The file.
        part: Take only what fills this part; by default all that the layout has.

    Raises:
        UserError: If the layout is not known, or does not hold the part.
    """
    layout = detect(source)
    only = f"{part}." if part else layout.place
    if not only.startswith(layout.place):
        raise UserError(f"{source.path} ({layout.name}) fills {layout.part}, not {part}")
    piece = Piece(source, layout, prefix=layout.place, only=only)
    if not piece.names():
        raise UserError(f"{source.path} ({layout.name}) has nothing for {part}")
    return piece


def _find(path: Path, which: str) -> Path:
    """A weights file in ``path``, which may be the file, a stage's folder or a run's."""
    if path.is_file():
        return path
    folders = [path, *sorted((path / "stages").glob("*"), key=lambda p: p.stat().st_mtime, reverse=True)]
    for folder in folders:
        candidate = folder / ("last.ckpt" if which == "raw" else "weights.safetensors")
        if candidate.is_file():
            return candidate
    raise UserError(f"start_from.path: there are no weights at {path}")
