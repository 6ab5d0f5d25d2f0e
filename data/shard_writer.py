"""Writers of numbered tars: the same samples give the same bytes, and a folder appears whole or not at all."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from webdataset.writer import TarWriter

from data.folders import whole_folder
from data.manifest import ClipManifest, ShardEntry, SplitEntry
from harmony_lit.errors import UserError

_KEY = re.compile(r"[A-Za-z0-9_\-]+")


class ShardWriter:
    """Writes numbered tars ``{split}-{000000}.tar`` with bytes that depend on the samples alone.

    Args:
        folder: Where the tars go; it must exist.
        samples_per_shard: Samples of a full tar.
    """

    def __init__(self, folder: Path, samples_per_shard: int = 256) -> None:
        if samples_per_shard < 1:
            raise UserError(f"samples_per_shard must be at least 1, not {samples_per_shard}")
        self.folder = folder
        self.samples_per_shard = samples_per_shard
        self._open: dict[str, tuple[TarWriter, IO[bytes], str]] = {}
        self._in_shard: dict[str, int] = {}
        self._done: dict[str, list[ShardEntry]] = {}
        self._keys: set[str] = set()

    def add(self, split: str, key: str, files: dict[str, bytes]) -> None:
        """Adds the files of one sample, by suffix.

        Raises:
            UserError: If the key was used before, or holds anything but letters, digits, ``_`` and ``-``.
        """
        if not _KEY.fullmatch(key) or not _KEY.fullmatch(split):
            raise UserError(f"sample key '{split}/{key}': use letters, digits, '_' and '-' only")
        if key in self._keys:
            raise UserError(f"two samples have the key '{key}': keys must be unique")
        self._keys.add(key)
        if split not in self._open:
            name = f"{split}-{len(self._done.setdefault(split, [])):06d}.tar"
            file = (self.folder / name).open("wb")
            self._open[split] = (TarWriter(file, mtime=0, encoder=False), file, name)
            self._in_shard[split] = 0
        self._open[split][0].write({"__key__": key, **files})
        self._in_shard[split] += 1
        if self._in_shard[split] == self.samples_per_shard:
            self._finish(split)

    def finish(self) -> dict[str, SplitEntry]:
        """Closes all tars and returns the splits for a manifest."""
        for split in list(self._open):
            self._finish(split)
        return {
            split: SplitEntry(tuple(shards), sum(shard.samples for shard in shards))
            for split, shards in sorted(self._done.items())
        }

    def close(self) -> None:
        """Closes what is open without counting it, after an error."""
        for tar, file, _ in self._open.values():
            tar.close()
            file.close()
        self._open.clear()

    def _finish(self, split: str) -> None:
        tar, file, name = self._open.pop(split)
        tar.close()
        file.close()
        with (self.folder / name).open("rb") as written:
            digest = hashlib.file_digest(written, "sha256").hexdigest()
        size = (self.folder / name).stat().st_size
        self._done[split].append(ShardEntry(name, self._in_shard[split], size, digest))


class ClipShardWriter:
    """Writes a folder of clip shards that appears, with its manifest, when the ``with`` block ends without error.

    Args:
        folder: The folder to make; an older one made by this class is replaced.
        fps: Frames per second of the clips.
        sample_rate_hz: Samples per second of the sounds.
        frames: Pixel frames of each clip; 0 if they differ.
        height: Rows of a frame.
        width: Columns of a frame.
        generator: Name and settings of what made the clips, for the manifest.
        samples_per_shard: Clips of a full tar.

    Example::

        with ClipShardWriter("clips", frames=61, height=64, width=64) as writer:
            writer.add("train", annotation.key, encode_sample(clip, annotation, reference))
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        fps: float = 25.0,
        sample_rate_hz: int = 16_000,
        frames: int = 0,
        height: int = 0,
        width: int = 0,
        generator: dict[str, Any] | None = None,
        samples_per_shard: int = 256,
    ) -> None:
        self._whole = whole_folder(folder)
        self._facts = {"fps": fps, "sample_rate_hz": sample_rate_hz, "frames": frames, "height": height, "width": width}
        self._generator = generator or {}
        self._samples_per_shard = samples_per_shard

    def __enter__(self) -> Self:
        self._partial = self._whole.__enter__()
        self._writer = ShardWriter(self._partial, self._samples_per_shard)
        return self

    def add(self, split: str, key: str, files: dict[str, bytes]) -> None:
        """Adds one sample: what ``encode_sample`` returns."""
        self._writer.add(split, key, files)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is None:
            splits = self._writer.finish()
            ClipManifest(splits=splits, generator=self._generator, **self._facts).write(self._partial)  # type: ignore[arg-type]
        self._writer.close()
        self._whole.__exit__(kind, error, traceback)
