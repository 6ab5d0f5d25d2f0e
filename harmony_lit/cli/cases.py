"""What `harmony sample` is asked for: one case from the options, or many from a file."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harmony_lit.errors import UserError, nearest

FILES = ("reference_audio", "image", "audio", "video")
# A bench's table of cases is a cases file too: its names, and what sampling has no use for.
_ALIASES = {"video_caption": "prompt", "audio_caption": "audio_prompt", "reference_image": "image"}
_IGNORED = ("category", "language", "image_prompt", "voice_prompt", "truth", "attributes")


@dataclass(frozen=True)
class Case:
    """One clip to make; paths are files.

    Attributes:
        key: Name of the clip.
        prompt: What is seen.
        audio_prompt: What is heard besides speech.
        transcript: What is said.
        reference_audio: Whose voice, or what kind of sound.
        image: The first frame.
        audio: Sound to make a picture to.
        video: Picture to make sound to.
        seed: Seed of the noise.
        frames: Pixel frames, 1 + 4k; the experiment's if None.
    """

    key: str
    prompt: str = ""
    audio_prompt: str = ""
    transcript: str = ""
    reference_audio: str | None = None
    image: str | None = None
    audio: str | None = None
    video: str | None = None
    seed: int = 0
    frames: int | None = None


def read_case_file(path: Path) -> list[Case]:
    """Reads a JSON-lines file of cases; files in it are relative to it.

    Raises:
        UserError: If the file is missing or a line is wrong, with the line's number.
    """
    if not path.is_file():
        raise UserError(f"there is no cases file {path}; it holds one JSON object a line")
    cases: list[Case] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), start=1):
        if line.strip():
            cases.append(_parse(line, f"{path}:{number}", f"{number:04d}", path.parent))
    keys = [case.key for case in cases]
    if repeated := sorted({key for key in keys if keys.count(key) > 1}):
        raise UserError(f"{path}: every clip needs a key of its own, but '{repeated[0]}' occurs more than once")
    if not cases:
        raise UserError(f"{path} holds no case")
    return cases


def _parse(line: str, place: str, key: str, folder: Path) -> Case:
    try:
        values = json.loads(line)
    except json.JSONDecodeError as error:
        raise UserError(f"{place}: not a JSON object ({error.msg} at column {error.colno})") from None
    if not isinstance(values, dict):
        raise UserError(f"{place}: a case is a JSON object, such as {{'prompt': 'a ball bounces'}}")
    known = {field.name: field for field in dataclasses.fields(Case)}
    given: dict[str, Any] = {"key": key}
    for name, value in values.items():
        if name in _IGNORED or value is None:
            continue
        field = _ALIASES.get(name, name)
        if field not in known:
            raise UserError(f"{place}: unknown field '{name}'.{nearest(name, known)}")
        wanted: type = int if field in ("seed", "frames") else str
        if not isinstance(value, wanted) or isinstance(value, bool):
            raise UserError(f"{place}: {name} must be {'a whole number' if wanted is int else 'text'}, not {value!r}")
        given[field] = value
    if "/" in given["key"] or not given["key"]:
        raise UserError(f"{place}: a key names a file, so '{given['key']}' cannot be one")
    if given.get("audio") and given.get("video"):
        raise UserError(f"{place}: give a driving audio or a driving video, not both")
    for name in FILES:
        if given.get(name):
            given[name] = str(folder / given[name])
            if not Path(given[name]).is_file():
                raise UserError(f"{place}: {name} names {given[name]}, which does not exist")
    return Case(**given)
