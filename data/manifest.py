"""What a folder of shards says about itself, in ``manifest.json``."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Self

from harmony_lit.errors import UserError, nearest

SCHEMA = 1
FILE_NAME = "manifest.json"


@dataclass(frozen=True)
class ShardEntry:
    """One tar of a split.

    Attributes:
        name: File name inside the folder.
        samples: Samples it holds.
        bytes: Size of the file, by which a truncated one is noticed before it is read.
        sha256: Digest of the file.
    """

    name: str
    samples: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class SplitEntry:
    """The shards of one split, in order, and the number of clips in them."""

    shards: tuple[ShardEntry, ...]
    clips: int


@dataclass(frozen=True)
class _Manifest:
    """What both kinds share: reading, writing, and sentences for what may be missing."""

    kind: ClassVar[str]
    remedy: ClassVar[str]
    splits: dict[str, SplitEntry]

    def to_json(self) -> dict[str, Any]:
        """A plain dict for ``json.dumps``."""
        return {"schema": SCHEMA, "kind": self.kind, **dataclasses.asdict(self)}

    def write(self, folder: Path) -> None:
        """Writes ``folder/manifest.json``; do so last, as it vouches for the rest."""
        (folder / FILE_NAME).write_text(json.dumps(self.to_json(), indent=1, sort_keys=True) + "\n")

    @classmethod
    def read(cls, folder: str | Path) -> Self:
        """Reads ``folder/manifest.json``.

        Raises:
            UserError: If the folder or the manifest is missing, unreadable or of another kind.
        """
        folder = Path(folder)
        path = folder / FILE_NAME
        what = "shards" if cls.kind == "clips" else "latents"
        remedy = cls.remedy.format(folder=folder)
        if not folder.is_dir():
            raise UserError(f"no {what} at {folder}: {remedy}")
        if not path.is_file():
            raise UserError(f"{folder} has no {FILE_NAME}, so its {what} are incomplete or not ours: {remedy}")
        try:
            values = json.loads(path.read_text())
            if values["kind"] != cls.kind:
                raise UserError(f"{folder} holds {values['kind']}, but {cls.kind} are needed here: {remedy}")
            if values["schema"] != SCHEMA:
                raise UserError(f"{path} has schema {values['schema']}, this version reads {SCHEMA}: {remedy}")
            known = {f.name for f in dataclasses.fields(cls)} - {"splits"}
            splits = {
                name: SplitEntry(tuple(ShardEntry(**shard) for shard in split["shards"]), split["clips"])
                for name, split in values["splits"].items()
            }
            facts = {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
            return cls(splits=splits, **{key: value for key, value in facts.items() if key in known})
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            raise UserError(f"{path} is damaged ({error!r}): {remedy}") from error

    def split(self, name: str, folder: str | Path) -> SplitEntry:
        """The shards of split ``name``.

        Raises:
            UserError: If the folder has no such split, or it is empty.
        """
        if name not in self.splits:
            raise UserError(f"{folder} has no split '{name}'.{nearest(name, self.splits)}")
        if not self.splits[name].clips:
            raise UserError(f"split '{name}' of {folder} is empty: make more clips")
        return self.splits[name]

    @property
    def digest(self) -> str:
        """Hex digest of the content: the shards' own digests, and all that the manifest says besides."""
        return hashlib.sha256(json.dumps(self.to_json(), sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class ClipManifest(_Manifest):
    """A folder of clip shards.

    Attributes:
        fps: Frames per second of the mp4s.
        sample_rate_hz: Samples per second of the sounds.
        frames: Pixel frames of each clip; 0 if they differ.
        height: Rows of a frame.
        width: Columns of a frame.
        generator: Name and settings of what made the clips.
    """

    kind = "clips"
    remedy = "make them with `harmony data world {folder} --clips N`"
    fps: float
    sample_rate_hz: int
    frames: int
    height: int
    width: int
    generator: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class LatentManifest(_Manifest):
    """A folder of latent shards.

    Attributes:
        fingerprints: Digests of all that shapes a latent: codecs, text encoder, source, geometry, health gate.
        source: Folder of the clip shards that were encoded.
        geometry: Arguments of ``Geometry``.
        channels: Latent channels of ``video`` and ``audio``.
        latent_size: Rows and columns of a latent frame.
        caption_dim: Width of a caption embedding.
        statistics: Per modality ``mean`` and ``std``, each a list over channels, measured on the train split.
    """

    kind = "latents"
    remedy = "encode the clips with `harmony data encode CLIPS {folder} --experiment NAME`"
    fingerprints: dict[str, str]
    source: str
    geometry: dict[str, Any]
    channels: dict[str, int]
    latent_size: tuple[int, int]
    caption_dim: int
    statistics: dict[str, dict[str, list[float]]] = field(default_factory=dict)
