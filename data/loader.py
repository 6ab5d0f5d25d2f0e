"""Loaders of batches: one without end that resumes exactly, one that goes through a split once.

Both are plain iterables around a ``DataLoader``: Lightning would otherwise replace samplers by its own.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from data.assemble import Assembler
from data.order import MixedOrder, SampleRef, seed_of
from data.store import LatentStore
from harmony_lit.containers import Batch
from harmony_lit.errors import UserError

_log = logging.getLogger(__name__)


class BatchDataset(Dataset[Batch]):
    """Lists of sample references to batches; each sample draws from a generator of its own.

    A sample that cannot be read is replaced by the next one that can, the same way on every run; each is logged once,
    and one more than ``max_broken`` of them is an error.

    Args:
        store: The samples.
        assembler: Makes batches of them.
        seed: Seed of what is drawn for each sample, together with its epoch and key.
        max_broken: Unreadable samples to put up with, in each process.
    """

    def __init__(self, store: LatentStore, assembler: Assembler, seed: int, max_broken: int = 10) -> None:
        self._store, self._assembler, self._seed, self._max_broken = store, assembler, seed, max_broken
        self._broken: set[int] = set()

    def __getitem__(self, refs: list[SampleRef]) -> Batch:
        """The batch of ``refs``."""
        examples = []
        for ref in refs:
            stored = self._read(ref.index)
            generator = torch.Generator().manual_seed(seed_of(self._seed, ref.epoch, stored.annotation.key))
            examples.append(self._assembler.example(stored, generator))
        return self._assembler.batch(examples)

    def _read(self, number: int) -> Any:
        for candidate in range(number, number + self._max_broken + 1):
            try:
                return self._store.read(candidate % len(self._store))
            except UserError as error:
                self._note(candidate % len(self._store), error)
        raise UserError(f"more than {self._max_broken} samples in a row cannot be read: encode the clips again")

    def _note(self, number: int, error: UserError) -> None:
        if number in self._broken:
            return
        self._broken.add(number)
        _log.warning("broken sample %d (%d so far): %s", number, len(self._broken), error)
        if len(self._broken) > self._max_broken:
            raise UserError(
                f"{len(self._broken)} samples cannot be read, max_broken is {self._max_broken}: encode the clips again "
                f"(the last: {error})"
            ) from error


class ResumableLoader:
    """Batches without end, in an order that depends on seed, rank and position alone.

    Its state is the number of batches that training has finished, not of those that were fetched: Lightning fetches
    one ahead, and worker processes more. The number of workers may change between runs.

    Args:
        dataset: References to batches.
        order: The endless order of samples.
        batch_size: Samples of a batch.
        num_workers: Processes that read ahead; 0 reads in this one.
        identity: Digest of all that shapes the order; a state of another identity is noticed.
        finished: Counts the batches that training has finished; None counts those given out.
        pin_memory: Whether batches are put into pinned memory, for a GPU.
    """

    def __init__(
        self,
        dataset: BatchDataset,
        order: MixedOrder,
        batch_size: int,
        num_workers: int = 0,
        identity: str = "",
        finished: Callable[[], int] | None = None,
        pin_memory: bool = False,
    ) -> None:
        self._dataset, self._order, self._batch_size = dataset, order, batch_size
        self._num_workers, self._identity, self._pin_memory = num_workers, identity, pin_memory
        self._given = 0
        self._finished = finished or self._count_given
        self._origin = 0
        self._finished_at_origin = self._finished()

    def __iter__(self) -> Iterator[Batch]:
        """Batches from the first that training has not finished."""
        yield from _data_loader(
            self._dataset, self._refs(self.position), self._num_workers, self._pin_memory, self._count_one
        )

    @property
    def position(self) -> int:
        """Batches finished since the very start of the order."""
        return self._origin + self._finished() - self._finished_at_origin

    def state_dict(self) -> dict[str, Any]:
        """Position and identity; the same on every rank."""
        return {"batches": self.position, "identity": self._identity}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on after ``state``; what lies before it is neither read nor decoded."""
        if state["identity"] != self._identity:
            _log.warning(
                "the data, the batch size, the seed or the number of processes differ from those of the checkpoint: "
                "training goes on at batch %d of another order",
                state["batches"],
            )
        self._origin = state["batches"]
        self._finished_at_origin = self._finished()

    def _count_given(self) -> int:
        return self._given

    def _count_one(self) -> None:
        self._given += 1

    def _refs(self, position: int) -> Iterator[list[SampleRef]]:
        stream = self._order.stream(position * self._batch_size)
        while True:
            yield [next(stream) for _ in range(self._batch_size)]


class FiniteLoader:
    """A split once through, in order, split evenly over the ranks; the last batch may be smaller.

    Ranks have the same number of batches: where samples do not divide, the first ones are given again.

    Args:
        dataset: References to batches.
        samples: Samples of the split.
        batch_size: Samples of a batch.
        num_workers: Processes that read ahead.
        rank: This process.
        world_size: Number of processes.
        pin_memory: Whether batches are put into pinned memory, for a GPU.
    """

    def __init__(
        self,
        dataset: BatchDataset,
        samples: int,
        batch_size: int,
        num_workers: int = 0,
        rank: int = 0,
        world_size: int = 1,
        pin_memory: bool = False,
    ) -> None:
        share = -(-samples // world_size)
        mine = [SampleRef((rank + world_size * step) % samples, 0) for step in range(share)]
        self._batches = [mine[start : start + batch_size] for start in range(0, share, batch_size)]
        self._dataset, self._num_workers, self._pin_memory = dataset, num_workers, pin_memory

    def __len__(self) -> int:
        return len(self._batches)

    def __iter__(self) -> Iterator[Batch]:
        """All batches, from the first."""
        return _data_loader(self._dataset, self._batches, self._num_workers, self._pin_memory, lambda: None)


def _data_loader(
    dataset: BatchDataset,
    refs: Iterable[list[SampleRef]],
    num_workers: int,
    pin_memory: bool,
    before_each: Callable[[], None],
) -> Iterator[Batch]:
    loader = DataLoader(
        dataset,
        batch_size=None,
        sampler=refs,  # type: ignore[arg-type]
        num_workers=num_workers,
        pin_memory=pin_memory,
        # Without a generator of its own a loader draws its workers' seed from the global one, which the model uses too.
        generator=torch.Generator().manual_seed(0),
    )
    for batch in loader:
        before_each()
        yield batch
