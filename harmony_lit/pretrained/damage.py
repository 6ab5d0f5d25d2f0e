"""Why a weights file cannot be read, in words."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

_LARGEST_HEADER = 100_000_000  # bytes; safetensors' own limit


def what_is_wrong(path: Path, error: Exception) -> str:
    """A clause that says what ``path`` is instead of whole weights, or else what ``error`` says, on one line."""
    if not path.is_file():
        return "it is not there"
    with path.open("rb") as file:
        head = file.read(64)
    if not head:
        return "it is empty"
    if head.startswith(b"version https://git-lfs"):
        return "it is a Git LFS pointer, not the file itself; `git lfs pull` fetches that"
    if head.lstrip()[:5].lower() in (b"<html", b"<!doc"):
        return "it is a web page"
    if path.suffix == ".safetensors":
        return _safetensors(path) or _one_line(error)
    if head.startswith(b"PK") and not zipfile.is_zipfile(path):
        return "it is cut short"
    if "weights_only" in str(error) or "Weights only" in str(error):
        return "it holds more than tensors, and nothing but tensors is read"
    return _one_line(error)


def _safetensors(path: Path) -> str:
    """What is wrong with a safetensors file; empty if nothing is found."""
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 2 <= length <= _LARGEST_HEADER:
            return "it is no safetensors file"
        text = file.read(length)
    if len(text) < length:
        return f"it is cut short within its header, at {size:,} bytes"
    try:
        entries = json.loads(text)
        end = max((entry["data_offsets"][1] for name, entry in entries.items() if name != "__metadata__"), default=0)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError):
        return "it is no safetensors file"
    whole = 8 + length + int(end)
    return f"it is cut short, {size:,} of {whole:,} bytes are there" if size < whole else ""


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
