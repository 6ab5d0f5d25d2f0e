"""The endless order of training samples, as a pure function of seed, rank and position.

Each category runs through its own epochs. In an epoch the shards are shuffled by (seed, epoch), the same on all ranks;
each rank takes its contiguous share of the resulting sequence, so that it opens few shards; a shuffle buffer seeded by
(seed, epoch, rank) mixes within the share. Position n of the stream belongs to the category in whose weight interval
frac((n + 1) / golden ratio + offset(seed, rank)) falls: the sequence of lowest discrepancy, so that each batch holds
the categories nearly in the ratio of their weights.

Nothing here depends on what was read before or on the number of workers, so the order can start anywhere.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_GOLDEN = (5**0.5 - 1) / 2
_CHUNK = 1 << 10
_BLOCK = 1 << 20


@dataclass(frozen=True)
class SampleRef:
    """Sample number ``index`` of a store, in epoch ``epoch`` of its category."""

    index: int
    epoch: int


def seed_of(*parts: object) -> int:
    """A 63-bit seed from any values whose text is stable, the same on every machine."""
    text = "/".join(map(str, parts)).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little") >> 1


class CategoryOrder:
    """Epochs of one category, as one rank sees them.

    Args:
        shards: For each shard, the numbers of its samples of this category.
        seed: Seed of the order.
        rank: This process.
        world_size: Number of processes.
        buffer: Size of the shuffle buffer in samples; 1 leaves the order within shards.
    """

    def __init__(self, shards: Sequence[Sequence[int]], seed: int, rank: int, world_size: int, buffer: int) -> None:
        self._shards = [np.asarray(shard, dtype=np.int64) for shard in shards if len(shard)]
        self._seed, self._rank, self._buffer = seed, rank, buffer
        total = sum(map(len, self._shards))
        # With fewer samples than ranks every rank goes through all of them, in its own order.
        self._share = (
            (total * rank // world_size, total * (rank + 1) // world_size) if total >= world_size else (0, total)
        )
        self.size = self._share[1] - self._share[0]
        self._epoch = functools.lru_cache(maxsize=2)(self._make_epoch)

    def __getitem__(self, position: int) -> SampleRef:
        """The sample at ``position`` of this category's endless order."""
        epoch, offset = divmod(position, self.size)
        return SampleRef(int(self._epoch(epoch)[offset]), epoch)

    def _make_epoch(self, epoch: int) -> NDArray[np.int64]:
        shuffled = np.random.default_rng(seed_of(self._seed, "shards", epoch)).permutation(len(self._shards))
        share = np.concatenate([self._shards[shard] for shard in shuffled])[slice(*self._share)]
        draws = np.random.default_rng(seed_of(self._seed, "buffer", epoch, self._rank))
        return _buffered(share, self._buffer, draws)


class MixedOrder:
    """The endless order of one rank over several categories.

    Args:
        categories: Name to order; none may be empty.
        weights: Name to share of the samples, in any unit.
        seed: Seed of the order.
        rank: This process.
    """

    def __init__(
        self, categories: Mapping[str, CategoryOrder], weights: Mapping[str, float], seed: int, rank: int
    ) -> None:
        names = sorted(categories)
        self._orders = [categories[name] for name in names]
        shares = np.array([weights[name] for name in names], dtype=np.float64)
        self._edges = np.cumsum(shares / shares.sum())[:-1]
        self._offset = seed_of(seed, "mixture", rank) / 2**63

    def stream(self, start: int) -> Iterator[SampleRef]:
        """All samples from position ``start`` on, without end."""
        counts = self._counts(start)
        while True:
            for choice in self._choices(start, start + _CHUNK).tolist():
                yield self._orders[choice][int(counts[choice])]
                counts[choice] += 1
            start += _CHUNK

    def _choices(self, start: int, stop: int) -> NDArray[np.int64]:
        phase = np.modf(np.arange(start + 1, stop + 1, dtype=np.float64) * _GOLDEN + self._offset)[0]
        return np.searchsorted(self._edges, phase, side="right")

    def _counts(self, position: int) -> NDArray[np.int64]:
        """How often each category was chosen before ``position``."""
        counts = np.zeros(len(self._orders), dtype=np.int64)
        for start in range(0, position, _BLOCK):
            choices = self._choices(start, min(start + _BLOCK, position))
            counts += np.bincount(choices, minlength=len(self._orders))
        return counts


def _buffered(values: NDArray[np.int64], size: int, draws: np.random.Generator) -> NDArray[np.int64]:
    """What a shuffle buffer of ``size`` gives out: each time a random one of those it holds."""
    if size <= 1:
        return values
    if size >= len(values):
        return draws.permutation(values)
    held, mixed = values[:size].copy(), np.empty_like(values)
    places = draws.integers(0, size, len(values) - size)
    for step, place in enumerate(places):
        mixed[step] = held[place]
        held[place] = values[size + step]
    mixed[len(places) :] = draws.permutation(held)
    return mixed
