"""Annotated clips as webdataset shards: numbered tars that any tar program opens and any webdataset reader streams.

A sample is ``KEY.mp4`` (H.264 and AAC), ``KEY.flac`` (the same sound, lossless), ``KEY.json`` (its annotation) and,
where there is one, ``KEY.reference.flac`` (another utterance of the same voice, or another take of the same thing).
The same clips give the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tarfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from torch import Tensor
from webdataset.tariterators import group_by_keys, tar_file_expander
from webdataset.writer import TarWriter

from data.folders import whole_folder
from data.manifest import ClipManifest, LatentManifest, ShardEntry, SplitEntry
from data.media import encode_flac, encode_mp4, read_audio, read_clip
from harmony_lit.containers import Annotation, Clip
from harmony_lit.errors import UserError

__all__ = [
    "ClipManifest",
    "ClipShardWriter",
    "LatentManifest",
    "ShardWriter",
    "StoredClip",
    "decode_sample",
    "encode_sample",
    "iterate_clips",
    "iterate_shard",
]

_KEY = re.compile(r"[A-Za-z0-9_\-]+")
_PICKLES = frozenset({"pkl", "pickle", "pyd", "pt", "pth", "ten", "joblib"})
_END_OF_TAR = 1024  # two blocks of zeros


@dataclass(frozen=True)
class StoredClip:
    """A sample of a clip shard, decoded: the clip, what is known of it, and its reference sound (S,) if it has one."""

    clip: Clip
    annotation: Annotation
    reference: Tensor | None


def encode_sample(clip: Clip, annotation: Annotation, reference: Tensor | None = None) -> dict[str, bytes]:
    """The files of one sample by suffix; apart from the writer, so that processes can share the work."""
    files = {
        "mp4": encode_mp4(clip),
        "flac": encode_flac(clip.audio, clip.sample_rate_hz),
        "json": json.dumps(annotation.to_json(), sort_keys=True).encode(),
    }
    if reference is not None:
        files["reference.flac"] = encode_flac(reference, clip.sample_rate_hz)
    return files


def decode_sample(
    sample: dict[str, Any], fps: float = 25.0, sample_rate_hz: int = 16_000, size: tuple[int, int] | None = None
) -> StoredClip:
    """Decodes a sample of ``iterate_shard``; the lossless sound takes the place of the mp4's.

    Raises:
        UserError: If a file of the sample is missing or cannot be decoded; it names the sample.
    """
    name = f"sample {sample['__key__']} of {sample['__url__']}"
    for suffix in ("mp4", "json"):
        if suffix not in sample:
            raise UserError(f"{name} has no .{suffix}")
    try:
        annotation = Annotation.from_json(json.loads(sample["json"]))
        clip = read_clip(sample["mp4"], fps, sample_rate_hz, size, require_audio="flac" not in sample)
        if "flac" in sample:
            clip = Clip(clip.video, read_audio(sample["flac"], sample_rate_hz), fps, sample_rate_hz)
        reference = read_audio(sample["reference.flac"], sample_rate_hz) if "reference.flac" in sample else None
    except (ValueError, TypeError) as error:
        raise UserError(f"{name} cannot be read: {error}") from error
    return StoredClip(clip, annotation, reference)


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


class _Counted:
    """A stream that remembers its last bytes, to tell a tar that ended from one that was cut between two members."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self.tail = b""

    def read(self, size: int = -1) -> bytes:
        data = self._stream.read(size)
        self.tail = (self.tail + data)[-_END_OF_TAR:]
        return data

    def drain(self) -> None:
        while self.read(1 << 20):
            pass


def _open_shard(url: str | Path) -> IO[bytes]:
    text = str(url)
    scheme = re.match(r"([A-Za-z][A-Za-z0-9+.\-]+):", text)
    if scheme is None:
        if not Path(text).is_file():
            raise UserError(f"shard {text} is missing: make the shards again")
        return Path(text).open("rb")
    if scheme.group(1).lower() not in ("http", "https"):
        raise UserError(f"shard {text}: only local paths, http and https are read, '{scheme.group(1)}:' is not")
    try:
        return urllib.request.urlopen(text)  # type: ignore[no-any-return]
    except urllib.error.URLError as error:
        raise UserError(f"shard {text} cannot be fetched: {error.reason}") from error


def iterate_shard(url: str | Path) -> Iterator[dict[str, Any]]:
    """The samples of one tar as ``{"__key__": ..., "__url__": ..., suffix: bytes}``, in order.

    Args:
        url: A local path, or an http(s) address.

    Raises:
        UserError: If the shard is missing, truncated (with the number of samples that could be read), holds pickles,
            or is named by a ``pipe:`` or any other scheme.
    """
    count = 0
    pending = None  # known to be whole when more of the tar is read, or when the tar has ended as it should
    with _open_shard(url) as file:
        stream = _Counted(file)
        try:
            members = tar_file_expander([{"url": str(url), "stream": stream}])
            for sample in group_by_keys(members):
                forbidden = _PICKLES.intersection(part for suffix in sample for part in suffix.split("."))
                if forbidden:
                    raise UserError(f"{url}: sample {sample['__key__']} holds a pickle (.{min(forbidden)}); not read")
                if pending is not None:
                    yield pending
                    count += 1
                pending = sample
        except (tarfile.TarError, EOFError, OSError) as error:
            if pending is not None:
                yield pending
                count += 1
            raise _truncated(url, count) from error
        stream.drain()
        if stream.tail.strip(b"\0") or len(stream.tail) < _END_OF_TAR:
            raise _truncated(url, count)
    if pending is not None:
        yield pending


def _truncated(url: str | Path, count: int) -> UserError:
    return UserError(f"shard {url} is truncated or damaged: {count} whole samples could be read; make or copy it again")


def shard_paths(folder: str | Path, split: SplitEntry) -> list[Path]:
    """Paths of a split's shards, each checked to be there with the size that the manifest says.

    Raises:
        UserError: If a shard is missing or truncated.
    """
    paths = []
    for shard in split.shards:
        path = Path(folder) / shard.name
        if not path.is_file():
            raise UserError(f"shard {path} is missing: the manifest names it; make or copy the folder again")
        if os.path.getsize(path) != shard.bytes:
            raise UserError(
                f"shard {path} is truncated or was changed: {os.path.getsize(path)} bytes of {shard.bytes}; "
                f"{_readable(path)} of {shard.samples} samples can be read; make or copy it again"
            )
        paths.append(path)
    return paths


def _readable(path: Path) -> int:
    count = 0
    try:
        for _ in iterate_shard(path):
            count += 1
    except UserError:
        pass
    return count


def iterate_clips(
    folder: str | Path, split: str, sample_rate_hz: int | None = None, size: tuple[int, int] | None = None
) -> Iterator[StoredClip]:
    """The clips of a split, decoded, in order.

    Raises:
        UserError: If the folder, its manifest, the split or a shard is missing, or a shard is truncated.
    """
    manifest = ClipManifest.read(folder)
    for path in shard_paths(folder, manifest.split(split, folder)):
        for sample in iterate_shard(path):
            yield decode_sample(sample, manifest.fps, sample_rate_hz or manifest.sample_rate_hz, size)
