"""Held-out cases from a folder of clip shards: a clip gives captions and references, and is the truth itself."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from PIL import Image

from data.manifest import ClipManifest
from data.media import read_clip
from data.shards import iterate_shard, shard_paths
from harmony_lit.containers import Annotation
from harmony_lit.errors import UserError
from harmony_lit.experiment.atomic import replacing, write_text
from metrics.bench.cases import CATEGORIES, BenchCase, read_cases, write_cases

TABLE = "cases.jsonl"


def cases_from_shards(
    shards: Path | str, folder: Path | str, per_category: int | None = None, split: str = "test"
) -> list[BenchCase]:
    """Writes the first ``per_category`` clips of each category, or all, to ``folder``, with a table; returns the cases.

    Within a category every second case, from the first on, gives its first frame as reference image, so that both ways
    of asking are measured; all give the reference sound of their clip, if it has one. The seed of case i is i. What an
    earlier call wrote from the same shards is kept.

    Raises:
        UserError: If the split holds too few clips of a category, or none at all.
    """
    folder, manifest = Path(folder), ClipManifest.read(shards)
    source = f"{manifest.digest} {split} {per_category}\n"
    stamp = folder / "source.txt"
    if stamp.is_file() and stamp.read_text() == source:
        return read_cases(folder / TABLE)
    folder.mkdir(parents=True, exist_ok=True)
    found: dict[str, list[BenchCase]] = {category: [] for category in CATEGORIES}
    for path in shard_paths(shards, manifest.split(split, shards)):
        for sample in iterate_shard(path):
            annotation = Annotation.from_json(json.loads(sample["json"]))
            members = found.get(annotation.category, [])
            if annotation.category in found and (per_category is None or len(members) < per_category):
                members.append(_unpack(sample, annotation, folder, with_image=len(members) % 2 == 0))
    needed = per_category or 0
    if short := [f"{len(members)} {name}" for name, members in found.items() if len(members) < needed]:
        raise UserError(
            f"bench: split '{split}' of {shards} has only {', '.join(short)} clips; "
            f"make more, or ask for fewer than {per_category} cases a category"
        )
    cases = [case for members in found.values() for case in members]
    if not cases:
        raise UserError(f"bench: split '{split}' of {shards} holds no {', '.join(CATEGORIES)} clip")
    write_cases([replace(case, seed=seed) for seed, case in enumerate(cases)], folder / TABLE)
    write_text(stamp, source)
    return read_cases(folder / TABLE)


def _unpack(sample: Mapping[str, Any], annotation: Annotation, folder: Path, with_image: bool) -> BenchCase:
    """Lays a sample's files out in ``folder`` and makes the case that they belong to."""
    files = {suffix: folder / f"{annotation.key}.{suffix}" for suffix in ("mp4", "flac", "reference.flac")}
    for suffix, path in files.items():
        if suffix in sample:
            path.write_bytes(sample[suffix])
    image = None
    if with_image:
        image = folder / f"{annotation.key}.png"
        first = read_clip(files["mp4"], require_audio=False).video[0]
        with replacing(image) as file:
            Image.fromarray(first.permute(1, 2, 0).numpy()).save(file, "PNG")
    return BenchCase(
        key=annotation.key,
        category=annotation.category,
        video_caption=annotation.video_caption,
        audio_caption=annotation.audio_caption,
        transcript=annotation.transcript,
        reference_image=str(image) if image else None,
        reference_audio=str(files["reference.flac"]) if "reference.flac" in sample else None,
        truth=str(files["mp4"]),
        attributes=annotation.attributes,
    )
