"""Encoding: what is written equals what the codecs say, once per content, and unhealthy clips do not pass unnoticed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from data.health import HealthGate
from data.index import index_path, make_index, npy_bytes, parse_npy, read_index
from data.latents import encode_shards
from data.manifest import LatentManifest
from data.media import encode_flac, write_mp4
from data.shards import ClipShardWriter, encode_sample, iterate_clips, iterate_shard
from harmony_lit.containers import Annotation, Clip
from harmony_lit.errors import UserError

from .conftest import make_annotation, make_clip, make_system, write_clips


def test_latents_equal_the_codecs_output_on_each_clip(clip_folder: Path, latent_folder: Path) -> None:
    system = make_system()
    manifest = LatentManifest.read(latent_folder)
    shards = [shard.name for shard in manifest.splits["train"].shards]
    samples = [sample for name in shards for sample in iterate_shard(latent_folder / name)]
    for sample, stored in zip(samples, iterate_clips(clip_folder, "train"), strict=True):
        video = system.video_codec.encode(stored.clip.video.float().transpose(0, 1)[None] / 127.5 - 1)[0]
        audio = system.audio_codec.encode(stored.clip.audio[None])[0]
        assert torch.equal(parse_npy(sample["video.npy"]), video.half())
        assert torch.equal(parse_npy(sample["audio.npy"])[:, : audio.shape[1]], audio.half())
        assert video.shape[1] == 1 + (stored.clip.video.shape[0] - 1) // 4
        caption = system.text_encoder.encode([stored.annotation.video_caption])
        assert torch.equal(parse_npy(sample["video_caption.npy"]), caption.x[0][caption.mask[0]].half())
        assert ("reference.npy" in sample) == (stored.reference is not None)


def test_the_manifest_measures_each_channel(latent_folder: Path) -> None:
    manifest = LatentManifest.read(latent_folder)
    samples = [s for shard in manifest.splits["train"].shards for s in iterate_shard(latent_folder / shard.name)]
    for name, channels in (("video", 3), ("audio", 2)):
        everything = torch.cat([parse_npy(sample[f"{name}.npy"]).flatten(1) for sample in samples], dim=1).double()
        assert manifest.channels[name] == channels
        assert torch.allclose(torch.tensor(manifest.statistics[name]["mean"]).double(), everything.mean(1), atol=1e-3)
        spread = everything.std(1, correction=0)
        assert torch.allclose(torch.tensor(manifest.statistics[name]["std"]).double(), spread, atol=1e-3)
    assert manifest.latent_size == (2, 2)
    assert {name: split.clips for name, split in manifest.splits.items()} == {"train": 24, "val": 5}
    assert parse_npy((latent_folder / "empty_caption.npy").read_bytes()).shape == (1, 8)
    longest = max(parse_npy(sample["audio.npy"]).shape[1] for sample in samples)
    silence = parse_npy((latent_folder / "silence.npy").read_bytes())
    assert torch.equal(silence, make_system().silence(longest).half())


def test_the_same_content_is_encoded_once_and_another_replaces_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clips = write_clips(tmp_path / "clips", train=4, val=1)
    encode_shards(clips, tmp_path / "latents", make_system())
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "latents").iterdir()}
    encode_shards(clips, tmp_path / "latents", make_system())
    assert "up to date" in capsys.readouterr().err
    assert before == {path.name: path.stat().st_mtime_ns for path in (tmp_path / "latents").iterdir()}
    encode_shards(clips, tmp_path / "latents", make_system(audio="audio-2"))
    assert "the audio codec changed" in capsys.readouterr().err
    assert LatentManifest.read(tmp_path / "latents").fingerprints["audio_codec"] == "audio-2"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clips", "latents"]


def test_a_truncated_source_leaves_no_latents(tmp_path: Path) -> None:
    clips = write_clips(tmp_path / "clips", train=8, val=1)
    shard = clips / "train-000001.tar"
    shard.write_bytes(shard.read_bytes()[:1_500])
    with pytest.raises(UserError, match=r"train-000001\.tar is truncated"):
        encode_shards(clips, tmp_path / "latents", make_system())
    assert not (tmp_path / "latents").exists()


def sick_folder(folder: Path) -> Path:
    healthy = make_clip(1)
    late = Clip(healthy.video, healthy.audio[: -3 * 640], 25.0, 16_000)
    silent = Clip(healthy.video, torch.zeros_like(healthy.audio), 25.0, 16_000)
    clipped = Clip(healthy.video, torch.sign(healthy.audio), 25.0, 16_000)
    write_mp4(folder.parent / "mute.mp4", Clip(healthy.video, torch.zeros(0), 25.0, 16_000))
    with ClipShardWriter(folder) as writer:
        for index in range(4):
            writer.add("train", f"good{index}", encode_sample(make_clip(index), make_annotation(index)))
        for name, clip in (("short", late), ("silent", silent), ("clipped", clipped)):
            writer.add("train", name, encode_sample(clip, Annotation(name, "ambient")))
        files = encode_sample(healthy, Annotation("rate", "ambient"))
        writer.add("train", "rate", {**files, "flac": encode_flac(healthy.audio.repeat_interleave(2), 32_000)})
        writer.add("train", "broken", {**files, "mp4": files["mp4"][:600]})
        mute = {"json": files["json"], "mp4": (folder.parent / "mute.mp4").read_bytes()}
        writer.add("train", "mute", mute)
    return folder


def test_the_health_gate_counts_each_reason_and_skips(tmp_path: Path) -> None:
    clips = sick_folder(tmp_path / "clips")
    encode_shards(clips, tmp_path / "latents", make_system(), gate=HealthGate(max_skipped_share=0.7))
    report = json.loads((tmp_path / "latents" / "health.json").read_text())
    assert report["examples"] == {
        "length_mismatch": ["short"],
        "silent": ["silent"],
        "clipped": ["clipped"],
        "wrong_sample_rate": ["rate"],
        "unreadable": ["broken"],
        "no_sound": ["mute"],
    }
    assert (report["checked"], report["kept"], report["skipped"]) == (10, 4, 6)
    assert LatentManifest.read(tmp_path / "latents").splits["train"].clips == 4


def test_too_many_sick_clips_fail_with_the_reasons(tmp_path: Path) -> None:
    clips = sick_folder(tmp_path / "clips")
    with pytest.raises(UserError, match=r"6 of 10 clips .* are not healthy: .*silent 1 \(as silent\)"):
        encode_shards(clips, tmp_path / "latents", make_system())
    assert not (tmp_path / "latents").exists()


def test_the_index_is_the_same_read_or_derived(latent_folder: Path, tmp_path: Path) -> None:
    shard = latent_folder / "train-000000.tar"
    beside = json.loads(index_path(shard).read_text())
    derived = make_index(shard)
    assert beside["keys"] == derived.keys == [f"clip{index:03d}" for index in range(5)]
    assert beside["categories"] == derived.categories
    assert beside["video_latents"] == derived.video_latents == [9, 8, 9, 8, 9]
    shutil.copy(shard, tmp_path / shard.name)
    assert read_index(tmp_path / shard.name) == derived == read_index(shard)


def test_npy_bytes_round_trip_and_refuse_what_float16_cannot_hold() -> None:
    values = torch.randn(3, 4, 5)
    assert torch.equal(parse_npy(npy_bytes(values)), values.half())
    with pytest.raises(UserError, match="not finite"):
        npy_bytes(torch.tensor([1e9]))
