"""Weights that a stage leaves and the next begins with."""

from __future__ import annotations

import fnmatch
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor, nn

from harmony_lit.errors import UserError
from harmony_lit.experiment.atomic import replacing
from harmony_lit.experiment.checkpoints import read_checkpoint
from harmony_lit.experiment.run_folder import RunFolder
from harmony_lit.experiment.stage import StartFrom

log = logging.getLogger(__name__)

Weights = Mapping[str, Tensor]


def export_weights(checkpoint: Path, target: Path) -> None:
    """Writes the weights of a checkpoint, the moving average if it has one, as safetensors."""
    state = read_checkpoint(checkpoint)["state_dict"]
    # Clones: safetensors refuses tensors that share memory, and tied weights may.
    data = safetensors.torch.save({name: value.clone().contiguous() for name, value in state.items()})
    with replacing(target) as file:
        file.write(data)


def read_start(start: StartFrom, run: RunFolder) -> tuple[Weights, Path]:
    """The weights that ``start_from`` names, and the file they came from.

    Raises:
        UserError: If the file is missing or unreadable.
    """
    if start.stage is not None:
        folder = run.stage(start.stage)
        path = folder.checkpoint if start.weights == "raw" else folder.weights
    else:
        assert start.path is not None
        path = _find(Path(start.path), start.weights)
    return read_weights(path, start.weights), path


def read_weights(path: Path, which: str = "ema") -> Weights:
    """Weights of a ``.safetensors`` file or of a checkpoint.

    Args:
        path: The file.
        which: ``ema`` or ``raw``. With Lightning's EMA callback a checkpoint's ``state_dict`` is the moving average
            and ``current_model_state`` what is trained; without it ``state_dict`` is all there is.
    """
    if path.suffix == ".safetensors":
        try:
            return safetensors.torch.load_file(path)
        except (OSError, SafetensorError) as error:
            raise UserError(f"{path} is not a readable weights file: {error}") from error
    checkpoint = read_checkpoint(path)
    return (
        checkpoint.get("current_model_state", checkpoint["state_dict"]) if which == "raw" else checkpoint["state_dict"]
    )


def load_strictly(module: nn.Module, weights: Weights, may_be_missing: Sequence[str], source: str) -> list[str]:
    """Loads ``weights`` into ``module``; nothing may differ but keys that are allowed to be missing.

    Args:
        module: What is loaded into.
        weights: Tensors by name.
        may_be_missing: Patterns such as ``network.video.*`` of names that ``weights`` may lack.
        source: Where the weights come from, for the message.

    Returns:
        The names that kept the module's own values.

    Raises:
        UserError: If any other name is missing, any is unexpected, or any shape differs.
    """
    own = module.state_dict()
    absent = [name for name in own if name not in weights]
    allowed = [name for name in absent if any(fnmatch.fnmatchcase(name, pattern) for pattern in may_be_missing)]
    problems = {
        "missing": [name for name in absent if name not in allowed],
        "unexpected": [name for name in weights if name not in own],
        "of another shape": [
            f"{name} {tuple(weights[name].shape)} instead of {tuple(own[name].shape)}"
            for name in own
            if name in weights and weights[name].shape != own[name].shape
        ],
    }
    told = [f"{len(names)} {what} ({_some(names)})" for what, names in problems.items() if names]
    if told:
        raise UserError(f"the weights of {source} do not fit the model: {'; '.join(told)}")
    module.load_state_dict(dict(weights), strict=False)
    log.info("weights from %s: %d tensors", source, len(weights))
    if allowed:
        log.info("not in %s, so begun afresh: %s", source, ", ".join(allowed))
    return allowed


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


def _some(names: Sequence[str], limit: int = 6) -> str:
    return ", ".join(names[:limit]) + (f" and {len(names) - limit} more" if len(names) > limit else "")
