"""Latents for training: mixed categories, an endless order that resumes exactly, finite validation and test splits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lightning.pytorch import LightningDataModule
from lightning.pytorch.loops.progress import _ProcessedTracker
from torch import Tensor

from data.assemble import NO_DROPOUT, Assembler, ConditionDropout
from data.index import parse_npy
from data.latents import digest, explain_changes, system_fingerprints
from data.loader import BatchDataset, FiniteLoader, ResumableLoader
from data.manifest import ClipManifest, LatentManifest
from data.order import CategoryOrder, MixedOrder
from data.reference import OtherUtterance, ReferencePolicy
from data.store import LatentStore
from data.targets import JointTarget, Target
from harmony_lit.encoders.base import TranscriptTokenizer
from harmony_lit.encoders.transcript import CharTokenizer
from harmony_lit.errors import UserError, nearest
from harmony_lit.geometry import Geometry
from harmony_lit.system import System


class LatentDataModule(LightningDataModule):
    """Batches of latents and conditions (CPU, float32) from a folder of latent shards.

    Args:
        root: Folder of latent shards.
        system: The parts that the latents must come from; None skips the check.
        batch_size: Samples of a batch, on each process.
        seed: Seed of the order and of all that is drawn for a sample.
        target: What of a clip is learned: picture and sound, or the sound alone. Whole clips of both by default.
        reference: Where the reference sound comes from; another utterance by default.
        dropout: How often conditions are missing in training; validation and test have them all.
        categories: Category to share of the samples, in any unit; those not named are left out. None: as they come.
        num_workers: Processes that read ahead; 0 reads in the training process.
        cache_in_memory: Whether all samples are decoded once and held; for small data sets.
        shuffle_buffer: Samples that the shuffle buffer holds.
        max_broken: Unreadable samples to put up with, in each process.
        tokenizer: Transcripts to ids; the system's, or the default one.
        eval_batch_size: Samples of a validation or test batch; ``batch_size`` if None.
    """

    def __init__(
        self,
        root: str,
        system: System | None = None,
        batch_size: int = 32,
        seed: int = 0,
        target: Target | None = None,
        reference: ReferencePolicy | None = None,
        dropout: ConditionDropout | None = None,
        categories: dict[str, float] | None = None,
        num_workers: int = 0,
        cache_in_memory: bool = False,
        shuffle_buffer: int = 2048,
        max_broken: int = 10,
        tokenizer: TranscriptTokenizer | None = None,
        eval_batch_size: int | None = None,
    ) -> None:
        super().__init__()
        if batch_size < 1 or (eval_batch_size is not None and eval_batch_size < 1):
            raise UserError("data.batch_size and data.eval_batch_size must be at least 1")
        if num_workers < 0:
            raise UserError(f"data.num_workers must be 0 or more, not {num_workers}")
        self.root, self.system, self.seed = Path(root), system, seed
        self.batch_size, self.eval_batch_size = batch_size, eval_batch_size or batch_size
        self.target: Target = target or JointTarget()
        self.reference: ReferencePolicy = reference or OtherUtterance()
        self.dropout = dropout or ConditionDropout()
        self.categories = categories
        self.num_workers, self.cache_in_memory = num_workers, cache_in_memory
        self.shuffle_buffer, self.max_broken = shuffle_buffer, max_broken
        self.tokenizer = tokenizer or (system.tokenizer if system is not None else CharTokenizer())
        self._stores: dict[str, LatentStore] = {}

    def setup(self, stage: str | None = None) -> None:
        """Checks that the latents are there and were made by ``system``.

        Raises:
            UserError: If they are missing or stale; it names what changed and the command that encodes again.
        """
        self.manifest = LatentManifest.read(self.root)
        source = Path(self.manifest.source)
        wanted = system_fingerprints(self.system) if self.system is not None else {}
        if (source / "manifest.json").is_file():
            wanted["source"] = ClipManifest.read(source).digest
        changed = explain_changes(self.manifest.fingerprints, wanted)
        if changed:
            raise UserError(
                f"the latents in {self.root} are stale: {changed} changed since they were made; encode again with "
                f"`harmony data encode {source} {self.root} --experiment NAME`"
            )

    def train_dataloader(self) -> ResumableLoader:
        """The endless loader of the train split."""
        rank, world_size = self._place()
        store = self._store("train")
        weights = self._weights(store)
        orders = {
            name: CategoryOrder(store.by_shard(name), self.seed, rank, world_size, self.shuffle_buffer)
            for name in weights
        }
        facts = [self.manifest.digest, self.seed, self.batch_size, world_size, weights, self.shuffle_buffer]
        return ResumableLoader(
            BatchDataset(store, self._assembler(self.dropout), self.seed, self.max_broken),
            MixedOrder(orders, weights, self.seed, rank),
            self.batch_size,
            self.num_workers,
            identity=digest(facts),
            finished=self._finished_batches if self.trainer is not None else None,
            pin_memory=self._pin_memory(),
        )

    def val_dataloader(self) -> FiniteLoader:
        """The validation split, once through, in order."""
        return self._finite("val")

    def test_dataloader(self) -> FiniteLoader:
        """The test split, once through, in order."""
        return self._finite("test")

    def _finite(self, split: str) -> FiniteLoader:
        store = self._store(split)
        dataset = BatchDataset(store, self._assembler(NO_DROPOUT), self.seed, self.max_broken)
        rank, world_size = self._place()
        return FiniteLoader(
            dataset, len(store), self.eval_batch_size, self.num_workers, rank, world_size, self._pin_memory()
        )

    def _store(self, split: str) -> LatentStore:
        if split not in self._stores:
            store = LatentStore(self.root, split, self.target.needs_video)
            if self.cache_in_memory:
                store.hold_in_memory()
            self._stores[split] = store
        return self._stores[split]

    def _weights(self, store: LatentStore) -> dict[str, float]:
        present = store.categories
        counts = {name: float(present.count(name)) for name in sorted(set(present))}
        if self.categories is None:
            return counts
        for name, weight in self.categories.items():
            if name not in counts:
                raise UserError(
                    f"data.categories: {self.root} has no '{name}' in its train split.{nearest(name, counts)}"
                )
            if weight < 0:
                raise UserError(f"data.categories.{name}: a share cannot be negative, as {weight} is")
        wanted = {name: float(weight) for name, weight in self.categories.items() if weight > 0}
        if not wanted:
            raise UserError("data.categories: at least one share must be above 0")
        return wanted

    def _assembler(self, dropout: ConditionDropout) -> Assembler:
        height, width = self.manifest.latent_size
        geometry: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in self.manifest.geometry.items()
        }
        return Assembler(
            Geometry(**geometry),
            self.target,
            self.reference,
            dropout,
            self.tokenizer,
            self._extra("empty_caption"),
            (self.manifest.channels["video"], height, width),
            self._extra("silence").float(),
        )

    def _extra(self, name: str) -> Tensor:
        """An encoding that is stored once for the whole folder."""
        path = self.root / f"{name}.npy"
        if not path.is_file():
            raise UserError(f"{path} is missing: remove {self.root} and encode again with `harmony data encode`")
        return parse_npy(path.read_bytes())

    def _place(self) -> tuple[int, int]:
        """Rank and number of processes."""
        return (0, 1) if self.trainer is None else (self.trainer.global_rank, self.trainer.world_size)

    def _pin_memory(self) -> bool:
        return self.trainer is not None and self.trainer.strategy.root_device.type == "cuda"

    def _finished_batches(self) -> int:
        """Training batches whose step is done: counted before checkpoints are written, and kept in them."""
        assert self.trainer is not None
        total = self.trainer.fit_loop.epoch_loop.batch_progress.total
        assert isinstance(total, _ProcessedTracker)
        return total.processed
