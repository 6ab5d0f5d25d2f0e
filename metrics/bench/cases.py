"""The cases of a bench, and the table that stores them: one JSON object a line."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harmony_lit.errors import UserError, nearest

CATEGORIES = ("ambient", "speech", "complex")
"""The three subsets of Harmony-Bench."""
UNCATEGORISED = "any"
"""Category of clips that no table describes: every metric that needs no prompt is tried on them."""

_FILES = ("reference_image", "reference_audio", "truth")


@dataclass(frozen=True)
class BenchCase:
    """What is asked of the model, and what its answer is measured against.

    Attributes:
        key: Unique name; also the name of every file made for the case.
        category: ``ambient``, ``speech`` or ``complex`` (the three subsets of Harmony-Bench); ``any`` for clips that
            no table describes.
        video_caption: What shall be seen.
        audio_caption: What shall be heard besides speech.
        transcript: What shall be said; empty if nothing is.
        language: Of the transcript: ``en`` or ``zh``.
        seed: Seeds the noise, so that variants of a case differ in their guidance alone.
        reference_image: Picture file of the first frame, if the case gives one.
        reference_audio: Sound file of the voice or timbre, if the case gives one.
        image_prompt: Describes the first frame, for those who make reference images themselves.
        voice_prompt: Describes the voice or timbre, for those who make reference sounds themselves.
        truth: A true clip of the case (mp4, its lossless sound beside it as ``.flac``), if there is one.
        attributes: What a metric may ask for (world: material, shape, voice ...).
    """

    key: str
    category: str
    video_caption: str = ""
    audio_caption: str = ""
    transcript: str = ""
    language: str = "en"
    seed: int = 0
    reference_image: str | None = None
    reference_audio: str | None = None
    image_prompt: str = ""
    voice_prompt: str = ""
    truth: str | None = None
    attributes: dict[str, Any] = field(default_factory=dict)


def read_cases(table: Path | str) -> list[BenchCase]:
    """Reads a table of cases; files in it are relative to the table.

    Raises:
        UserError: If there is no such table, or a line is not a case; the message names the line.
    """
    table = Path(table)
    if not table.is_file():
        raise UserError(f"no table of cases at {table}; it is a .jsonl file with one case a line")
    cases: list[BenchCase] = []
    for number, line in enumerate(table.read_text().splitlines(), start=1):
        if line.strip():
            cases.append(_parse(line, f"{table}:{number}", table.parent))
    if repeated := sorted({c.key for c in cases if sum(d.key == c.key for d in cases) > 1}):
        raise UserError(f"{table}: keys must be unique, but {', '.join(repeated)} occurs more than once")
    return cases


def write_cases(cases: Iterable[BenchCase], table: Path | str) -> None:
    """Writes what ``read_cases`` reads; files below the table's folder are stored relative to it."""
    table = Path(table)
    lines = []
    for case in cases:
        values = {k: v for k, v in dataclasses.asdict(case).items() if v not in ("", None, {})}
        for name in _FILES:
            if name in values:
                path = Path(values[name])
                values[name] = str(path.relative_to(table.parent) if path.is_relative_to(table.parent) else path)
        lines.append(json.dumps(values, ensure_ascii=False, sort_keys=True))
    table.parent.mkdir(parents=True, exist_ok=True)
    table.write_text("\n".join(lines) + "\n")


def balanced(cases: Sequence[BenchCase], per_category: int) -> list[BenchCase]:
    """The first ``per_category`` cases of each category, category by category.

    Raises:
        UserError: If a category has fewer.
    """
    chosen = []
    for category in CATEGORIES:
        members = [c for c in cases if c.category == category]
        if len(members) < per_category:
            raise UserError(f"{per_category} {category} cases are asked for, and there are {len(members)}")
        chosen += members[:per_category]
    return chosen


def _parse(line: str, place: str, folder: Path) -> BenchCase:
    try:
        values = json.loads(line)
    except json.JSONDecodeError as error:
        raise UserError(f"{place}: not a JSON object ({error.msg} at column {error.colno})") from None
    names = {f.name for f in dataclasses.fields(BenchCase)}
    if not isinstance(values, dict) or not {"key", "category"} <= values.keys():
        raise UserError(f"{place}: a case is a JSON object with at least `key` and `category`")
    if unknown := sorted(values.keys() - names):
        raise UserError(f"{place}: unknown field {unknown[0]!r}.{nearest(unknown[0], names)}")
    if values["category"] not in CATEGORIES:
        raise UserError(f"{place}: category must be one of {', '.join(CATEGORIES)}, not {values['category']!r}")
    for name in _FILES:
        if values.get(name):
            values[name] = str(folder / values[name])
            if not Path(values[name]).is_file():
                raise UserError(f"{place}: {name} names {values[name]}, which does not exist")
    return BenchCase(**values)
