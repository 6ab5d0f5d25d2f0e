"""Folders that appear whole or not at all."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from data.manifest import FILE_NAME
from harmony_lit.errors import UserError


def refuse_foreign(folder: Path) -> None:
    """Only an absent or empty folder, or one of our own, may be replaced.

    Raises:
        UserError: If ``folder`` holds something else.
    """
    if folder.is_dir() and any(folder.iterdir()) and not (folder / FILE_NAME).is_file():
        raise UserError(f"{folder} holds other files and no {FILE_NAME}: name an empty or a new folder")
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file: name a folder")


def partial_path(folder: Path) -> Path:
    """Where ``folder`` grows until it is whole."""
    return folder.with_name(f".{folder.name}.partial")


@contextlib.contextmanager
def whole_folder(folder: str | Path) -> Iterator[Path]:
    """A folder beside ``folder`` to write into; it takes the place of ``folder`` when the block ends without error.

    After an error nothing remains; after a kill the next call removes the remains.

    Raises:
        UserError: If ``folder`` holds files that are not shards of ours.
    """
    folder = Path(folder)
    refuse_foreign(folder)
    partial = partial_path(folder)
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    publish(partial, folder)


def publish(partial: Path, folder: Path) -> None:
    """Moves ``partial`` to ``folder``, in place of what was there."""
    old = folder.with_name(f".{folder.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    partial.rename(folder)
    shutil.rmtree(old, ignore_errors=True)
