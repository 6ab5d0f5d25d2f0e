"""Caption embeddings on disk are the encoder's own, and no encoder is asked twice."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from harmony_lit.containers import TextEmbeds
from harmony_lit.encoders.base import TextEncoder
from harmony_lit.encoders.cached import CachedTextEncoder
from harmony_lit.encoders.hashing import HashTextEncoder

CAPTIONS = ["a red ball bounces on wood", "", "雨 \ud800 rain", "a red ball bounces on wood"]


class Counting(HashTextEncoder):
    """Notes what it is asked."""

    def __init__(self, dim: int = 16, bfloat16: bool = False) -> None:
        super().__init__(dim)
        self.asked: list[str] = []
        self.released = 0
        self.bfloat16 = bfloat16

    def encode(self, captions: Sequence[str]) -> TextEmbeds:
        self.asked += captions
        embeds = super().encode(captions)
        return TextEmbeds(embeds.x.bfloat16().float(), embeds.mask) if self.bfloat16 else embeds

    def release(self) -> None:
        self.released += 1


def entries(folder: Path) -> list[Path]:
    return sorted(folder.glob("*/*/*.safetensors"))


def assert_same(found: TextEmbeds, expected: TextEmbeds) -> None:
    assert torch.equal(found.x, expected.x) and torch.equal(found.mask, expected.mask)


def test_is_a_text_encoder_with_the_fingerprint_of_the_one_inside(tmp_path):
    inner = Counting()
    cached = CachedTextEncoder(inner, str(tmp_path))
    assert isinstance(cached, TextEncoder)
    assert (cached.fingerprint, cached.dim, cached.max_tokens) == (inner.fingerprint, 16, 32)
    cached.release()
    assert inner.released == 1


def test_each_caption_is_encoded_once_whoever_asks(tmp_path):
    first, second = Counting(), Counting()
    expected = HashTextEncoder(16).encode(CAPTIONS)
    assert_same(CachedTextEncoder(first, str(tmp_path)).encode(CAPTIONS), expected)
    assert first.asked == CAPTIONS[:3]
    again = CachedTextEncoder(second, str(tmp_path))
    assert_same(again.encode(CAPTIONS), expected)
    assert second.asked == []
    again.encode(["new", CAPTIONS[0]])
    assert second.asked == ["new"]
    assert len(entries(tmp_path)) == 4


def test_no_captions_give_no_rows(tmp_path):
    assert_same(CachedTextEncoder(Counting(), str(tmp_path)).encode([]), HashTextEncoder(16).encode([]))


def test_another_encoder_has_entries_of_its_own(tmp_path):
    CachedTextEncoder(Counting(16), str(tmp_path)).encode(["rain"])
    wide = Counting(32)
    assert CachedTextEncoder(wide, str(tmp_path)).encode(["rain"]).x.shape[2] == 32
    assert wide.asked == ["rain"]
    assert len({path.parts[-3] for path in entries(tmp_path)}) == 2


def test_bfloat16_embeddings_take_half_the_room_and_lose_nothing(tmp_path):
    caption = "word " * 31
    sizes = []
    for bfloat16 in (False, True):
        cached = CachedTextEncoder(Counting(256, bfloat16), str(tmp_path / str(bfloat16)))
        expected = Counting(256, bfloat16).encode([caption])
        cached.encode([caption])
        assert_same(cached.encode([caption]), expected)
        sizes.append(cached.path(caption).stat().st_size)
    assert sizes[1] < 0.6 * sizes[0]


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-8])


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _exchange(path: Path) -> None:
    other = next(entry for entry in entries(path.parents[2]) if entry != path)
    path.write_bytes(other.read_bytes())


@pytest.mark.parametrize("damage", [_cut, _flip, _empty, _exchange])
def test_a_damaged_entry_is_told_and_made_again(tmp_path, damage):
    cached = CachedTextEncoder(Counting(), str(tmp_path))
    expected = cached.encode(["rain", "wind"])
    damage(cached.path("rain"))
    inner = Counting()
    again = CachedTextEncoder(inner, str(tmp_path))
    with pytest.warns(UserWarning, match=r"cached caption .* is damaged .* encoded again"):
        assert_same(again.encode(["rain", "wind"]), expected)
    assert inner.asked == ["rain"]
    assert_same(again.encode(["rain", "wind"]), expected)
    assert inner.asked == ["rain"]


def test_beyond_its_bound_the_oldest_entries_go(tmp_path):
    captions = [f"caption {i}" for i in range(10)]
    CachedTextEncoder(Counting(256), str(tmp_path)).encode(captions)
    size = entries(tmp_path)[0].stat().st_size
    cached = CachedTextEncoder(Counting(256), str(tmp_path), max_gb=10.5 * size / 1e9)
    for age, caption in enumerate(captions):
        os.utime(cached.path(caption), (1e9 + age, 1e9 + age))
    cached.encode(["caption 10"])
    left = [caption for caption in captions if cached.path(caption).exists()]
    assert left == captions[2:]
    assert cached.path("caption 10").exists()


def test_remains_of_killed_writers_go_with_time(tmp_path):
    cached = CachedTextEncoder(Counting(), str(tmp_path))
    cached.encode(["rain"])
    old, young = (cached.path("rain").with_name(f"{name}.safetensors.part-1") for name in ("old", "young"))
    old.write_bytes(b"half")
    young.write_bytes(b"half")
    os.utime(old, (1e9, 1e9))
    CachedTextEncoder(Counting(), str(tmp_path)).encode(["wind"])
    assert young.exists() and not old.exists()


def _encode_all(folder: str, failed: multiprocessing.queues.Queue) -> None:
    torch.set_num_threads(1)
    expected = HashTextEncoder(16)
    cached = CachedTextEncoder(HashTextEncoder(16), folder)
    for _ in range(3):
        for start in range(20):
            captions = [f"caption {i}" for i in range(start, start + 4)]
            if not torch.equal(cached.encode(captions).x, expected.encode(captions).x):
                failed.put(captions)


@pytest.mark.filterwarnings("error")
def test_processes_share_a_folder(tmp_path):
    context = multiprocessing.get_context("fork")
    failed = context.Queue()
    workers = [context.Process(target=_encode_all, args=(str(tmp_path), failed)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0] * 3
    assert failed.empty()
    assert len(entries(tmp_path)) == 23
    assert not list(tmp_path.rglob("*.part-*"))


def test_a_bound_must_be_positive(tmp_path):
    with pytest.raises(ValueError, match="max_gb"):
        CachedTextEncoder(Counting(), str(tmp_path), max_gb=0)
