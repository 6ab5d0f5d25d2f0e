"""Encodes a folder of clip shards to a folder of latent shards, once for each content.

The content key is the digest of everything that shapes a latent: both codecs, the caption encoder, the clips, the
geometry and the health gate. It is kept in the manifest; training refuses latents made by other parts.

Shape legend: B clips, C latent channels, F pixel frames, Tv latent frames, Ta audio latents, H W rows and columns,
S samples, L tokens, D width.
"""

from __future__ import annotations

import collections
import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from torch import Tensor

from data.folders import whole_folder
from data.health import HealthGate, HealthReport
from data.index import npy_bytes, write_index
from data.manifest import ClipManifest, LatentManifest
from data.media import inspect_clip, probe_audio_rate, read_audio
from data.shards import ShardWriter, iterate_shard, shard_paths
from harmony_lit.containers import Annotation
from harmony_lit.encoders.prompting import Texts
from harmony_lit.errors import UserError
from harmony_lit.geometry import Geometry
from harmony_lit.system import System

In = TypeVar("In")
Out = TypeVar("Out")

_NAMES = {
    "video_codec": "the video codec",
    "audio_codec": "the audio codec",
    "text_encoder": "the caption encoder",
    "source": "the clips",
    "geometry": "the geometry",
    "health": "the health gate",
}


@dataclass(frozen=True)
class _Decoded:
    """A clip that passed the gate, cut to a length the codec can take: video (3, F, H, W), audio and reference (S,)."""

    video: Tensor
    audio: Tensor
    reference: Tensor | None
    annotation: Annotation


def digest(value: Any) -> str:
    """Hex digest of a value that json can hold."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def system_fingerprints(system: System) -> dict[str, str]:
    """Digests of the parts of a system that shape latents."""
    return {**system.fingerprints(), "geometry": digest(dataclasses.asdict(_without_patch(system.geometry)))}


def explain_changes(stored: dict[str, str], wanted: dict[str, str]) -> str:
    """Which parts of ``wanted`` differ from ``stored``, in words; empty if none."""
    changed = [_NAMES.get(name, name) for name, value in wanted.items() if stored.get(name) != value]
    return " and ".join(changed)


def encode_shards(
    source: str | Path,
    out: str | Path,
    system: System,
    batch_size: int = 16,
    gate: HealthGate | None = None,
    samples_per_shard: int = 512,
    threads: int = 2,
) -> LatentManifest:
    """Encodes every split of ``source`` into ``out``, which appears whole or not at all.

    Does nothing if ``out`` already holds latents of the same content; replaces latents of another content.

    Args:
        source: Folder of clip shards.
        out: Folder of latent shards to make.
        system: Codecs, caption encoder and geometry.
        batch_size: Clips that go through a codec at once.
        gate: Which clips are skipped; the default gate if None.
        samples_per_shard: Samples of a full tar.
        threads: Threads that decode clips.

    Returns:
        The manifest of ``out``.

    Raises:
        UserError: If the source is missing or damaged, a clip does not fit the geometry, or too many are not healthy.
    """
    source, out, gate = Path(source), Path(out), gate or HealthGate()
    clips = ClipManifest.read(source)
    fingerprints = {**system_fingerprints(system), "source": clips.digest, "health": digest(dataclasses.asdict(gate))}
    console = Console(stderr=True, soft_wrap=True)
    existing = _existing(out)
    if existing is not None:
        changed = explain_changes(existing.fingerprints, fingerprints)
        if not changed:
            console.print(f"{out} is up to date: it holds the latents of these clips by these codecs", highlight=False)
            return existing
        console.print(f"{out} is encoded again: {changed} changed", highlight=False)
    with whole_folder(out) as folder, _progress(console) as progress:
        report = HealthReport(gate)
        writer = ShardWriter(folder, samples_per_shard)
        statistics = {"video": _Statistics(), "audio": _Statistics()}
        shape: tuple[int, ...] = ()
        for split, entry in clips.splits.items():
            bar = progress.add_task(f"encoding {split}", total=entry.clips)
            samples = (sample for path in shard_paths(source, entry) for sample in iterate_shard(path))
            decode = partial(_decode, clips=clips, geometry=system.geometry, gate=gate)
            healthy = _healthy(_ordered_map(decode, samples, threads), report, partial(progress.advance, bar))
            for group in _groups(healthy, batch_size):
                shape = _encode_group(group, split, system, writer, statistics)
        report.refuse_too_many(source)
        splits, longest = writer.finish(), 1
        for shards in splits.values():
            for shard in shards.shards:
                longest = max(longest, *write_index(folder / shard.name).audio_latents)
        empty = system.text_encoder.encode([""])
        (folder / "empty_caption.npy").write_bytes(npy_bytes(empty.x[0][empty.mask[0]]))
        (folder / "silence.npy").write_bytes(npy_bytes(system.silence(longest)))
        report.write(folder / "health.json")
        manifest = LatentManifest(
            splits=splits,
            fingerprints=fingerprints,
            source=str(source),
            geometry=dataclasses.asdict(system.geometry),
            channels={"video": system.video_codec.channels, "audio": system.audio_codec.channels},
            latent_size=(shape[-2], shape[-1]) if shape else (0, 0),
            caption_dim=system.text_encoder.dim,
            statistics={name: measured.to_json() for name, measured in statistics.items()},
        )
        manifest.write(folder)
    return manifest


def _existing(out: Path) -> LatentManifest | None:
    """The manifest of latents that are already there and whole."""
    try:
        manifest = LatentManifest.read(out)
        for entry in manifest.splits.values():
            shard_paths(out, entry)
    except UserError:
        return None
    return manifest


def _without_patch(geometry: Geometry) -> Geometry:
    """The patch is the model's affair: latents do not depend on it."""
    return dataclasses.replace(geometry, patch=(1, 1, 1))


def _decode(sample: dict[str, Any], clips: ClipManifest, geometry: Geometry, gate: HealthGate) -> _Decoded | list[str]:
    """A clip ready for the codecs, or the reasons why it is not healthy."""
    try:
        annotation = Annotation.from_json(json.loads(sample["json"]))
        clip, info = inspect_clip(sample["mp4"], geometry.fps, geometry.sample_rate_hz, require_audio=False)
        sound, stored_hz = clip.audio, info.sample_rate_hz
        if "flac" in sample:
            sound = read_audio(sample["flac"], geometry.sample_rate_hz)
            stored_hz = probe_audio_rate(sample["flac"])
        reference = (
            read_audio(sample["reference.flac"], geometry.sample_rate_hz) if "reference.flac" in sample else None
        )
    except (ValueError, KeyError, TypeError):
        return ["unreadable"]
    reasons = gate.reasons(clip.duration_s, sound, geometry.sample_rate_hz, info, stored_hz, clips)
    if reasons:
        return reasons
    frames = geometry.floor_frames(clip.video.shape[0])
    samples = geometry.samples(frames)
    audio = torch.nn.functional.pad(sound[:samples], (0, max(0, samples - sound.numel())))
    return _Decoded(clip.video[:frames].transpose(0, 1), audio, reference, annotation)


def _healthy(
    decoded: Iterable[tuple[dict[str, Any], _Decoded | list[str]]], report: HealthReport, advance: Callable[[], None]
) -> Iterator[_Decoded]:
    for sample, clip in decoded:
        report.add(sample["__key__"], clip if isinstance(clip, list) else [])
        advance()
        if isinstance(clip, _Decoded):
            yield clip


def _groups(clips: Iterable[_Decoded], batch_size: int) -> Iterator[list[_Decoded]]:
    """Neighbours of the same shape, at most ``batch_size`` together."""
    group: list[_Decoded] = []
    for clip in clips:
        if group and (len(group) == batch_size or clip.video.shape != group[0].video.shape):
            yield group
            group = []
        group.append(clip)
    if group:
        yield group


@torch.inference_mode()
def _encode_group(
    group: list[_Decoded], split: str, system: System, writer: ShardWriter, statistics: dict[str, _Statistics]
) -> tuple[int, ...]:
    """Encodes clips of one shape and writes them; returns the shape of their video latents."""
    pixels = torch.stack([clip.video for clip in group]).float() / 127.5 - 1
    video = system.video_codec.encode(pixels).cpu()
    audio = system.audio_codec.encode(torch.stack([clip.audio for clip in group])).cpu()
    if split == "train":
        statistics["video"].add(video)
        statistics["audio"].add(audio)
    said = [clip.annotation for clip in group]
    texts = [system.prompting(Texts(a.video_caption, a.audio_caption, a.transcript)) for a in said]
    captions = [[t.video_caption for t in texts], [t.audio_caption for t in texts]]
    embeds = [system.text_encoder.encode(written) for written in captions]
    for row, clip in enumerate(group):
        files = {
            "video.npy": npy_bytes(video[row]),
            "audio.npy": npy_bytes(audio[row]),
            "json": json.dumps(clip.annotation.to_json(), sort_keys=True).encode(),
        }
        for name, caption in zip(("video_caption", "audio_caption"), embeds, strict=True):
            files[f"{name}.npy"] = npy_bytes(caption.x[row][caption.mask[row]])
        if clip.reference is not None and clip.reference.numel() >= system.audio_codec.hop:
            files["reference.npy"] = npy_bytes(system.audio_codec.encode(clip.reference[None])[0])
        writer.add(split, clip.annotation.key, files)
    return tuple(video.shape)


class _Statistics:
    """Mean and standard deviation per channel, from sums in double precision."""

    def __init__(self) -> None:
        self.count = 0
        self.sum: Tensor | float = 0.0
        self.squares: Tensor | float = 0.0

    def add(self, latents: Tensor) -> None:
        """Counts latents (B, C, ...)."""
        flat = latents.double().transpose(0, 1).flatten(1)
        self.count += flat.shape[1]
        self.sum = self.sum + flat.sum(1)
        self.squares = self.squares + flat.square().sum(1)

    def to_json(self) -> dict[str, list[float]]:
        if not self.count:
            return {}
        mean = torch.as_tensor(self.sum) / self.count
        variance = torch.as_tensor(self.squares) / self.count - mean.square()
        return {"mean": mean.tolist(), "std": variance.clamp(min=0).sqrt().tolist()}


def _ordered_map(function: Callable[[In], Out], items: Iterable[In], threads: int) -> Iterator[tuple[In, Out]]:
    """``map`` in threads, a few items ahead and in order: FFmpeg decodes outside Python's lock."""
    waiting: collections.deque[tuple[In, Future[Out]]] = collections.deque()
    with ThreadPoolExecutor(max(1, threads)) as pool:
        for item in items:
            waiting.append((item, pool.submit(function, item)))
            if len(waiting) > 4 * threads:
                first, future = waiting.popleft()
                yield first, future.result()
        for first, future in waiting:
            yield first, future.result()


def _progress(console: Console) -> Progress:
    times = (TimeElapsedColumn(), TimeRemainingColumn())
    return Progress(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), *times, console=console)
