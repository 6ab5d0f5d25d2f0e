"""Writes clips of the world as webdataset shards."""

from __future__ import annotations

import dataclasses
import hashlib
import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from data.manifest import FILE_NAME, ClipManifest
from data.shards import ClipShardWriter, encode_sample
from data.world.clips import make_clip
from data.world.config import CATEGORIES, Split, WorldConfig
from harmony_lit.errors import UserError

Job = tuple[int, Split, WorldConfig]


def generate(
    out: str | Path,
    clips: int,
    seed: int = 0,
    val_clips: int = 48,
    test_clips: int = 96,
    config: WorldConfig | None = None,
    workers: int = 2,
) -> ClipManifest:
    """Generates a folder of clip shards, or says that it is there already.

    The folder appears when it is whole; a killed run leaves nothing that could be taken for one. The bytes depend on
    the settings alone, not on ``workers``.

    Args:
        out: The folder to make; one made here before with other settings is replaced.
        clips: Clips of the train split, a third of each category (give a multiple of 3 for exact thirds).
        seed: Seed of the world; the splits never share a clip.
        val_clips: Clips of the validation split.
        test_clips: Clips of the test split.
        config: Picture size, length and rates; its own seed gives way to ``seed``.
        workers: Processes that make and encode clips; 0 makes them here.

    Raises:
        UserError: If a count is negative, there is nothing to make, or ``out`` holds other files.
    """
    counts: dict[Split, int] = {"train": clips, "val": val_clips, "test": test_clips}
    for split, count in counts.items():
        if count < 0 or (split == "train" and count == 0):
            raise UserError(f"a world needs at least {int(split == 'train')} {split} clips, not {count}")
    config = dataclasses.replace(config or WorldConfig(), seed=seed)
    generator = {"name": "world", "config": dataclasses.asdict(config), "clips": counts, "digest": world_digest(config)}
    console = Console(stderr=True)
    out = Path(out)
    if (out / FILE_NAME).is_file():
        manifest = ClipManifest.read(out)
        if manifest.generator == generator:
            console.print(f"{out} already holds these {sum(counts.values())} clips")
            return manifest
    facts: dict[str, Any] = {
        "fps": config.fps,
        "sample_rate_hz": config.sample_rate_hz,
        "frames": config.frames,
        "height": config.size,
        "width": config.size,
    }
    jobs: list[Job] = [(index, split, config) for split, count in counts.items() for index in range(count)]
    with ClipShardWriter(out, generator=generator, **facts) as writer, _progress(console) as progress:
        task = progress.add_task("making clips", total=len(jobs))
        for split, key, files in _encode_all(jobs, workers):
            writer.add(split, key, files)
            progress.advance(task)
    return ClipManifest.read(out)


def world_digest(config: WorldConfig) -> str:
    """Hex digest of one clip per category, so that shards of a world that looked or sounded otherwise are noticed."""
    digest = hashlib.sha256()
    for index in range(len(CATEGORIES)):
        sample = make_clip(index, "train", config)
        for part in (sample.clip.video, sample.clip.audio, sample.reference):
            digest.update(part.numpy().tobytes())
    return digest.hexdigest()


def _encode_all(jobs: list[Job], workers: int) -> Iterator[tuple[Split, str, dict[str, bytes]]]:
    """Makes and encodes all ``jobs``, in order."""
    if workers == 0:
        yield from map(_encode, jobs)
        return
    # Not forked: a child of a process whose OpenMP threads have run may hang.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, initializer=_single_thread) as pool:
        try:
            yield from pool.map(_encode, jobs, chunksize=8)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _single_thread() -> None:
    torch.set_num_threads(1)
    cv2.setNumThreads(1)


def _encode(job: Job) -> tuple[Split, str, dict[str, bytes]]:
    index, split, config = job
    sample = make_clip(index, split, config)
    return split, sample.annotation.key, encode_sample(sample.clip, sample.annotation, sample.reference)


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("ETA"),
        TimeRemainingColumn(),
        console=console,
    )
