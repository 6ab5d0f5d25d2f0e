"""Shards of clips: what is written is read, the same bytes for the same clips, and clear words for damage."""

from __future__ import annotations

import functools
import http.server
import io
import tarfile
import threading
from pathlib import Path

import pytest
import torch
import webdataset

from data.manifest import ClipManifest
from data.shards import ClipShardWriter, encode_sample, iterate_clips, iterate_shard
from harmony_lit.containers import Annotation, Clip
from harmony_lit.errors import UserError


def small_clip(index: int, frames: int = 9) -> Clip:
    video = torch.full((frames, 3, 32, 32), 20 * index, dtype=torch.uint8)
    audio = 0.5 * torch.sin(torch.arange(frames * 640) * (0.05 + 0.01 * index))
    return Clip(video, audio, 25.0, 16_000)


def write_folder(folder: Path, clips: int = 5) -> None:
    with ClipShardWriter(folder, frames=9, height=32, width=32, generator={"seed": 0}, samples_per_shard=2) as writer:
        for index in range(clips):
            clip = small_clip(index)
            annotation = Annotation(
                f"clip-{index}", "speech", transcript="hello", speaker="a", events=({"time_s": 0.1},)
            )
            reference = clip.audio[:1_600] if index % 2 else None
            writer.add("train", annotation.key, encode_sample(clip, annotation, reference))


def write_keys(folder: Path, keys: list[str]) -> None:
    with ClipShardWriter(folder) as writer:
        for key in keys:
            writer.add("train", key, encode_sample(small_clip(1), Annotation(key, "speech")))


def test_clips_come_back_in_order_with_their_annotation_and_lossless_sound(tmp_path: Path) -> None:
    write_folder(tmp_path / "clips")
    stored = list(iterate_clips(tmp_path / "clips", "train"))
    assert [item.annotation.key for item in stored] == [f"clip-{index}" for index in range(5)]
    assert stored[3].annotation.events == ({"time_s": 0.1},)
    assert [item.reference is not None for item in stored] == [False, True, False, True, False]
    assert (stored[3].clip.audio - small_clip(3).audio).abs().max() < 1 / 32_768
    assert (stored[3].clip.video.int() - 60).abs().max() <= 3


def test_the_same_clips_give_the_same_bytes(tmp_path: Path) -> None:
    write_folder(tmp_path / "a")
    write_folder(tmp_path / "b")
    for path in sorted((tmp_path / "a").iterdir()):
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes(), path.name
    with tarfile.open(tmp_path / "a" / "train-000000.tar") as tar:
        assert {(member.mtime, member.uid, member.gid) for member in tar} == {(0, 0, 0)}


def test_the_manifest_counts_shards_and_clips(tmp_path: Path) -> None:
    write_folder(tmp_path / "clips")
    manifest = ClipManifest.read(tmp_path / "clips")
    assert [shard.samples for shard in manifest.splits["train"].shards] == [2, 2, 1]
    assert manifest.splits["train"].clips == 5
    assert (manifest.height, manifest.generator) == (32, {"seed": 0})


def test_an_error_leaves_what_was_there(tmp_path: Path) -> None:
    write_folder(tmp_path / "clips", clips=1)
    before = ClipManifest.read(tmp_path / "clips").digest
    with pytest.raises(UserError):
        write_keys(tmp_path / "clips", ["a", "a"])
    assert ClipManifest.read(tmp_path / "clips").digest == before
    assert [path.name for path in tmp_path.iterdir()] == ["clips"]


def test_a_folder_of_other_files_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(UserError, match="holds other files"), ClipShardWriter(tmp_path):
        pass
    assert (tmp_path / "thesis.txt").exists()


def test_missing_folder_manifest_and_split_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"no shards at .*absent: make them with `harmony data world .*absent --clips N`"
    ):
        list(iterate_clips(tmp_path / "absent", "train"))
    write_folder(tmp_path / "clips")
    with pytest.raises(UserError, match=r"no split 'tran'\. Did you mean 'train'"):
        list(iterate_clips(tmp_path / "clips", "tran"))
    (tmp_path / "clips" / "manifest.json").unlink()
    with pytest.raises(UserError, match=r"has no manifest\.json"):
        list(iterate_clips(tmp_path / "clips", "train"))


def test_a_truncated_tar_is_named_with_the_samples_that_could_be_read(tmp_path: Path) -> None:
    write_folder(tmp_path / "clips")
    shard = tmp_path / "clips" / "train-000000.tar"
    whole = shard.read_bytes()
    with tarfile.open(shard) as tar:
        second_sample = [member.offset for member in tar.getmembers()[3:]]
    # A sample counts as whole once the next one has begun; a cut between two members leaves no error in tarfile itself.
    for cut, readable in ((len(whole) // 3, 0), (second_sample[1], 1), (second_sample[1] + 600, 1)):
        shard.write_bytes(whole[:cut])
        with pytest.raises(UserError, match=rf"train-000000\.tar is truncated or damaged: {readable} whole samples"):
            list(iterate_shard(shard))
        with pytest.raises(UserError, match=rf"{readable} of 2 samples can be read"):
            list(iterate_clips(tmp_path / "clips", "train"))


@pytest.mark.parametrize("url", ["pipe:cat shard.tar", "file:///etc/passwd", "s3://bucket/a.tar", "gs://a/b.tar"])
def test_only_paths_and_http_are_opened(url: str) -> None:
    with pytest.raises(UserError, match="only local paths, http and https are read"):
        list(iterate_shard(url))


def test_pickles_are_refused(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "bad.tar", "w") as tar:
        member = tarfile.TarInfo("a.latents.pkl")
        member.size = 3
        tar.addfile(member, io.BytesIO(b"abc"))
    with pytest.raises(UserError, match="holds a pickle"):
        list(iterate_shard(tmp_path / "bad.tar"))


def test_keys_must_be_unique_and_plain(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="unique"):
        write_keys(tmp_path / "clips", ["a", "a"])
    with pytest.raises(UserError, match="letters"):
        write_keys(tmp_path / "clips", ["a.b"])


def test_any_webdataset_reader_reads_them_and_http_does_too(tmp_path: Path) -> None:
    write_folder(tmp_path / "clips")
    shard = tmp_path / "clips" / "train-000000.tar"
    theirs = [sample["__key__"] for sample in webdataset.WebDataset(str(shard), shardshuffle=False)]
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path / "clips"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        ours = [
            sample["__key__"] for sample in iterate_shard(f"http://127.0.0.1:{server.server_port}/train-000000.tar")
        ]
        with pytest.raises(UserError, match="cannot be fetched"):
            next(iterate_shard(f"http://127.0.0.1:{server.server_port}/train-000009.tar"))
        server.shutdown()
    assert theirs == ours == ["clip-0", "clip-1"]
