"""The cases of a bench, and the table that stores them: one JSON object a line, as ``cases.schema.json`` says."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harmony_lit.errors import UserError, nearest

CATEGORIES = ("ambient", "speech", "complex")
"""The three subsets of Harmony-Bench."""
UNCATEGORISED = "any"
"""Category of clips that no table describes: every metric that needs no prompt is tried on them."""
LANGUAGES = ("en", "zh")
"""Languages of transcripts."""
SHIPPED = {"harmony": Path(__file__).with_name("harmony_bench.jsonl")}
"""Tables that come with the package, by the name that stands for their path."""

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


def table_path(table: Path | str) -> Path:
    """The file of a table: one that comes with the package by its name (``harmony``), any other by its path."""
    return SHIPPED.get(str(table), Path(table))


def read_cases(table: Path | str) -> list[BenchCase]:
    """Reads a table of cases; files in it are relative to the table.

    Args:
        table: A ``.jsonl`` file, or ``harmony`` for the 150 cases that come with the package.

    Raises:
        UserError: If there is no such table, it holds no case, or a line is not a case; the message names the line.
    """
    path = table_path(table)
    if not path.is_file():
        names = ", ".join(f"'{name}'" for name in SHIPPED)
        raise UserError(f"no table of cases at {path}; it is a .jsonl file with one case a line, or {names}")
    # Not splitlines: it would break a caption at the other line ends of Unicode.
    lines = enumerate(path.read_text(encoding="utf-8").split("\n"), start=1)
    cases = [_parse(line, f"{path}:{number}", path.parent) for number, line in lines if line.strip()]
    if not cases:
        raise UserError(f"{path} holds no case")
    if repeated := sorted(key for key, count in Counter(case.key for case in cases).items() if count > 1):
        raise UserError(f"{path}: keys must be unique, but {', '.join(repeated)} occurs more than once")
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
        lines.append(json.dumps(values, ensure_ascii=False))
    table.parent.mkdir(parents=True, exist_ok=True)
    table.write_text("\n".join(lines) + "\n", encoding="utf-8")


def balanced(cases: Sequence[BenchCase], per_category: int | None = None) -> list[BenchCase]:
    """The first ``per_category`` cases of each category, or all of them, category by category.

    Raises:
        UserError: If a category has fewer.
    """
    chosen = []
    for category in CATEGORIES:
        members = [c for c in cases if c.category == category]
        if per_category is not None and len(members) < per_category:
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
    _check(values, place)
    for name in _FILES:
        if values.get(name):
            values[name] = str(folder / values[name])
            if not Path(values[name]).is_file():
                raise UserError(f"{place}: {name} names {values[name]}, which does not exist")
    return BenchCase(**values)


def _check(values: dict[str, Any], place: str) -> None:
    """Holds a line to what ``cases.schema.json`` says of its values."""
    for name, value in values.items():
        if name == "seed":
            right, wanted = type(value) is int and value >= 0, "a whole number, 0 or more"
        elif name == "attributes":
            right, wanted = isinstance(value, dict), "an object"
        else:
            right, wanted = isinstance(value, str) or (value is None and name in _FILES), "text"
        if not right:
            raise UserError(f"{place}: {name} must be {wanted}, not {json.dumps(value, ensure_ascii=False)}")
    for name, known in (("category", CATEGORIES), ("language", LANGUAGES)):
        if name in values and values[name] not in known:
            raise UserError(f"{place}: {name} must be one of {', '.join(known)}, not {values[name]!r}")
    if "/" in values["key"] or not values["key"]:
        raise UserError(f"{place}: a key names files, so {values['key']!r} cannot be one")
