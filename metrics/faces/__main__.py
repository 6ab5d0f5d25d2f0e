"""``python -m metrics.faces CLIPS``: what a detector finds in a folder of clips, as a table and as pictures of crops.

Another detector: ``--faces.detector YuNet --faces.detector.weights FILE``; ``--help`` lists all settings.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import cv2
from jsonargparse import auto_cli
from rich.console import Console
from rich.table import Table

from data.media import read_clip
from harmony_lit.errors import UserError
from metrics.faces import haar, s3fd, yunet  # noqa: F401  (so that --faces.detector knows them by name)
from metrics.faces.base import FaceCrop
from metrics.faces.survey import contact_sheet, survey
from metrics.faces.tracked import TrackedFaces

SHEET_SIZE_PX = 112
WITHOUT_WEIGHTS = TrackedFaces.original(haar.Haar())


def main(clips: Path, faces: TrackedFaces = WITHOUT_WEIGHTS, sheets: Path | None = None) -> None:
    """Prints what is found in clips.

    Args:
        clips: A clip, or a folder of mp4 files.
        faces: How faces are found, followed and kept.
        sheets: Folder for a picture of each clip's crops.

    Raises:
        UserError: If there are no clips, or the detector needs what is not there.
    """
    if needed := faces.missing():
        raise UserError(f"the detector needs {needed}")
    files = [clips] if clips.is_file() else sorted(clips.glob("*.mp4"))
    if not files:
        raise UserError(f"there are no mp4 files at {clips}")
    columns = ("clip", "picture", "frames", "with a face", "px", "tracks", "longest", "kept", "CPU s")
    table = Table(*columns)
    for file in files:
        clip = read_clip(file, require_audio=False)
        start_s = time.process_time()
        found = survey(clip, faces)
        spent_s = time.process_time() - start_s
        table.add_row(
            file.stem,
            f"{clip.video.shape[3]}x{clip.video.shape[2]}",
            str(found.frames),
            f"{found.seen:.0%}",
            ", ".join(f"{size:.0f}" for size in found.sizes_px),
            str(found.tracks),
            str(found.longest),
            str(found.kept),
            f"{spent_s:.1f}",
        )
        if sheets is not None and found.kept:
            _write_sheet(sheets / f"{file.stem}.png", faces.crops(clip, SHEET_SIZE_PX))
    Console().print(faces.describe(), table)


def _write_sheet(path: Path, crops: list[FaceCrop]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), contact_sheet(crops).permute(1, 2, 0).numpy()[..., ::-1])


if __name__ == "__main__":
    try:
        auto_cli(main, as_positional=True)
    except UserError as error:
        sys.exit(f"harmony: {error}")
