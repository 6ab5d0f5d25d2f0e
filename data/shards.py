"""Annotated clips as webdataset shards: numbered tars that any tar program opens and any webdataset reader streams.

A sample is ``KEY.mp4`` (H.264 and AAC), ``KEY.flac`` (the same sound, lossless), ``KEY.json`` (its annotation) and,
where there is one, ``KEY.reference.flac`` (another utterance of the same voice, or another take of the same thing).
The same clips give the same bytes.
"""

from __future__ import annotations

import json
import os
import re
import tarfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from torch import Tensor
from webdataset.tariterators import group_by_keys, tar_file_expander

from data.manifest import ClipManifest, LatentManifest, SplitEntry
from data.media import encode_flac, encode_mp4, read_audio, read_clip
from data.shard_writer import ClipShardWriter, ShardWriter
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
