"""Samples of a split of latents by number, from disk or from memory.

Shape legend: C latent channels, Tv latent frames, Ta audio latents, Tr latents of the reference, H W rows and columns,
L tokens, D width.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor

from data.index import ShardIndex, parse_npy, read_index
from data.manifest import LatentManifest
from data.shards import shard_paths
from harmony_lit.containers import Annotation
from harmony_lit.errors import UserError

_VIDEO = "video.npy"


@dataclass(frozen=True)
class StoredLatents:
    """One sample as stored, in float16.

    Attributes:
        video: (C, Tv, H, W), or None if it was not asked for.
        audio: (C, Ta).
        reference: (C, Tr), or None if the shard holds none.
        video_caption: (L, D).
        audio_caption: (L, D).
        annotation: What is known of the clip.
    """

    video: Tensor | None
    audio: Tensor
    reference: Tensor | None
    video_caption: Tensor
    audio_caption: Tensor
    annotation: Annotation


class LatentStore:
    """The samples of one split, numbered in the order of its shards.

    Args:
        folder: Folder of latent shards.
        split: Name of the split.
        with_video: Whether video latents are read.

    Raises:
        UserError: If the folder, the manifest, the split or a shard is missing, or a shard is truncated.
    """

    def __init__(self, folder: str | Path, split: str, with_video: bool = True) -> None:
        entry = LatentManifest.read(folder).split(split, folder)
        self._paths = shard_paths(folder, entry)
        self._indexes: list[ShardIndex] = [read_index(path) for path in self._paths]
        for path, index, shard in zip(self._paths, self._indexes, entry.shards, strict=True):
            if len(index.keys) != shard.samples:
                raise UserError(f"shard {path} holds {len(index.keys)} samples, the manifest says {shard.samples}")
        self._starts = np.cumsum([0, *(len(index.keys) for index in self._indexes)])
        self._with_video = with_video
        self._cached: list[StoredLatents | UserError] | None = None

    def __len__(self) -> int:
        return int(self._starts[-1])

    @property
    def categories(self) -> list[str]:
        """Category of each sample."""
        return [category for index in self._indexes for category in index.categories]

    def by_shard(self, category: str) -> list[list[int]]:
        """For each shard, the numbers of its samples of ``category``."""
        return [
            [int(start) + row for row, name in enumerate(index.categories) if name == category]
            for start, index in zip(self._starts, self._indexes, strict=False)
        ]

    def hold_in_memory(self) -> None:
        """Decodes every sample once; reading then costs nothing."""
        if self._cached is None:
            self._cached = [self._read_or_error(number) for number in range(len(self))]

    def read(self, number: int) -> StoredLatents:
        """Sample ``number``.

        Raises:
            UserError: If it cannot be decoded; it names the sample and the shard.
        """
        if self._cached is None:
            return self._read(number)
        held = self._cached[number]
        if isinstance(held, UserError):
            raise held
        return held

    def _read_or_error(self, number: int) -> StoredLatents | UserError:
        try:
            return self._read(number)
        except UserError as error:
            return error

    def _read(self, number: int) -> StoredLatents:
        shard = int(np.searchsorted(self._starts, number, side="right")) - 1
        row = number - int(self._starts[shard])
        index, path = self._indexes[shard], self._paths[shard]
        try:
            files = _read_members(path, index.members[row], () if self._with_video else (_VIDEO,))
            return StoredLatents(
                video=parse_npy(files[_VIDEO]) if self._with_video else None,
                audio=parse_npy(files["audio.npy"]),
                reference=parse_npy(files["reference.npy"]) if "reference.npy" in files else None,
                video_caption=parse_npy(files["video_caption.npy"]),
                audio_caption=parse_npy(files["audio_caption.npy"]),
                annotation=Annotation.from_json(json.loads(files["json"])),
            )
        except (OSError, KeyError, ValueError, TypeError) as error:
            raise UserError(f"sample {index.keys[row]} of {path} cannot be read: {error!r}") from error


def _read_members(path: Path, members: dict[str, tuple[int, int]], left_out: Sequence[str]) -> dict[str, bytes]:
    """The files of one sample, by one read: they lie side by side in the tar."""
    wanted = {suffix: place for suffix, place in members.items() if suffix not in left_out}
    begin = min(offset for offset, _ in wanted.values())
    end = max(offset + size for offset, size in wanted.values())
    # Opened anew each time: worker processes share nothing, and the kernel keeps the pages.
    with path.open("rb", buffering=0) as file:
        block = os.pread(file.fileno(), end - begin, begin)
    return {suffix: block[offset - begin : offset - begin + size] for suffix, (offset, size) in wanted.items()}
