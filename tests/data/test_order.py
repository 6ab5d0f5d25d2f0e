"""The order of samples: every sample once per epoch, ranks apart, and any position reached without the way to it."""

from __future__ import annotations

from collections import Counter
from itertools import islice

import pytest

from data.order import CategoryOrder, MixedOrder, SampleRef

SHARDS = [list(range(start, start + 7)) for start in range(0, 70, 7)]


@pytest.mark.parametrize("buffer", [1, 5, 1_000])
@pytest.mark.parametrize("world_size", [1, 3])
def test_ranks_share_each_epoch_without_overlap(buffer: int, world_size: int) -> None:
    for epoch in range(3):
        seen: list[int] = []
        for rank in range(world_size):
            order = CategoryOrder(SHARDS, 1, rank, world_size, buffer)
            mine = [order[epoch * order.size + offset] for offset in range(order.size)]
            assert {ref.epoch for ref in mine} == {epoch}
            seen += [ref.index for ref in mine]
        assert sorted(seen) == list(range(70))


def test_epochs_seeds_and_buffers_change_the_order() -> None:
    def epoch(seed: int, number: int, buffer: int = 20) -> list[int]:
        order = CategoryOrder(SHARDS, seed, 0, 1, buffer)
        return [order[number * 70 + offset].index for offset in range(70)]

    orders = [epoch(1, 0), epoch(1, 1), epoch(2, 0), epoch(1, 0, buffer=1)]
    assert len({tuple(order) for order in orders}) == 4
    assert epoch(1, 0) == orders[0]


def test_a_small_buffer_keeps_near_what_lies_near() -> None:
    order = CategoryOrder([list(range(1_000))], 0, 0, 1, 10)
    shown = [order[offset].index for offset in range(1_000)]
    assert sum(abs(index - offset) for offset, index in enumerate(shown)) / 1_000 < 20


def test_fewer_samples_than_ranks_go_to_all() -> None:
    for rank in range(4):
        order = CategoryOrder([[5], [9]], 0, rank, 4, 10)
        assert sorted(order[offset].index for offset in range(2)) == [5, 9]


def mixed(rank: int = 0, weights: dict[str, float] | None = None) -> MixedOrder:
    parts = {"a": [list(range(40))], "b": [list(range(100, 110))], "c": [list(range(200, 205))]}
    orders = {name: CategoryOrder(shards, 3, rank, 1, 16) for name, shards in parts.items()}
    return MixedOrder(orders, weights or {"a": 1.0, "b": 1.0, "c": 2.0}, 3, rank)


def test_every_stretch_holds_the_categories_by_weight() -> None:
    refs = list(islice(mixed().stream(0), 4_000))
    for start in range(0, 4_000, 32):
        counts = Counter(ref.index // 100 for ref in refs[start : start + 32])
        assert abs(counts[0] - 8) <= 2
        assert abs(counts[1] - 8) <= 2
        assert abs(counts[2] - 16) <= 2


def test_each_category_goes_through_its_own_epochs() -> None:
    refs = list(islice(mixed().stream(0), 2_000))
    for category, size in ((0, 40), (1, 10), (2, 5)):
        mine = [ref for ref in refs if ref.index // 100 == category]
        for epoch in range(len(mine) // size):
            part = mine[epoch * size : (epoch + 1) * size]
            assert {ref.epoch for ref in part} == {epoch}
            assert len({ref.index for ref in part}) == size


@pytest.mark.parametrize("start", [1, 31, 1_023, 1_024, 1_500, 5_000])
def test_a_stream_from_the_middle_is_the_end_of_the_whole(start: int) -> None:
    whole = list(islice(mixed().stream(0), start + 200))
    assert list(islice(mixed().stream(start), 200)) == whole[start:]


def test_a_far_position_is_reached_at_once() -> None:
    first = next(mixed().stream(30_000_000))
    assert isinstance(first, SampleRef)
    assert first.epoch > 100_000
