"""Bench scores, clips, spectrograms and sound in TensorBoard while a model trains."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_warn
from lightning.pytorch.utilities.seed import isolate_rng

from data.manifest import ClipManifest
from harmony_lit.containers import Clip
from harmony_lit.errors import UserError
from harmony_lit.guidance import Denoiser
from harmony_lit.sampling import Sampler, generate
from harmony_lit.system import System
from metrics.base import BenchMetric, ClipMetric
from metrics.bench.cases import BenchCase
from metrics.bench.from_shards import cases_from_shards
from metrics.bench.scoring import measures_of, what_can_run
from metrics.bench.studio import Studio
from metrics.summary_media import add_clip, draw_offset_curve


@runtime_checkable
class CanSample(Protocol):
    """What the callback needs of a LightningModule."""

    system: System
    network: Denoiser
    sampler: Sampler


class BenchCallback(Callback):
    """Samples some held-out cases at validation and logs what the metrics say of them.

    Scalars are ``bench/MEASURE``, means over all ranks' cases; ``perf/bench_s`` is what it cost. The first clips go to
    TensorBoard as ``bench/KEY/video``, ``.../spectrogram``, ``.../audio`` and, if a metric tries offsets,
    ``.../offset``. A metric that lacks weights or a package is told once and left out. It samples after the moving
    average was put in place, leaves the random state of training as it was, and draws the same noise every time.

    Args:
        clips: Folder of clip shards that the cases come from.
        metrics: Metrics by name.
        split: Split of ``clips``; keep ``test`` for ``harmony bench``.
        per_category: Cases of each category, all ranks together; they bound the cost.
        every_n_validations: Sample at the first validation of each so many.
        media: Clips that are logged to look at and listen to, at most.
        steps: Solver steps, if fewer than the module's own sampler takes.
        batch_size: Clips sampled at once.
    """

    def __init__(
        self,
        clips: str,
        metrics: dict[str, BenchMetric],
        split: str = "val",
        per_category: int = 2,
        every_n_validations: int = 1,
        media: int = 3,
        steps: int | None = None,
        batch_size: int = 16,
    ) -> None:
        if per_category < 1 or every_n_validations < 1 or batch_size < 1 or (steps is not None and steps < 1):
            raise UserError("callbacks.bench: per_category, every_n_validations, steps and batch_size must be positive")
        measures_of(metrics)
        self.clips, self.metrics, self.split, self.per_category = clips, metrics, split, per_category
        self.every_n_validations, self.media = every_n_validations, media
        self.steps, self.batch_size = steps, batch_size
        self.ready: dict[str, BenchMetric] = {}
        self.cases: list[BenchCase] = []
        self._validations = 0

    def state_dict(self) -> dict[str, Any]:
        """How many validations there were, so that a resumed run samples at the same ones."""
        return {"validations": self._validations}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """See ``state_dict``."""
        self._validations = state_dict["validations"]

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Lays the cases out on disk, on one rank, and reads them on all."""
        if not isinstance(pl_module, CanSample):
            raise UserError(f"callbacks.bench: {type(pl_module).__name__} has no system, network and sampler")
        self.ready, needs = what_can_run(self.metrics)
        for measure, missing in needs.items():
            rank_zero_warn(f"callbacks.bench: {measure} is not measured: it needs {missing}")
        folder = Path(trainer.default_root_dir) / "bench_cases"
        if trainer.is_global_zero:
            cases_from_shards(self.clips, folder, self.per_category, self.split)
        trainer.strategy.barrier("bench_cases")
        # The same categories on every rank, whatever their number.
        self.cases = cases_from_shards(self.clips, folder, self.per_category, self.split)

    def on_validation_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Samples before the first batch: by then every callback has had its say about the weights."""
        if batch_idx or dataloader_idx or trainer.sanity_checking:
            return
        due = self._validations % self.every_n_validations == 0
        self._validations += 1
        if not due:
            return
        began = time.monotonic()
        # Caches that a model fills while sampling must not hold inference tensors: training could not use them.
        with isolate_rng(), torch.inference_mode(False), torch.no_grad():
            values = self._sample_and_score(trainer, pl_module)
        values["perf/bench_s"] = time.monotonic() - began
        pl_module.log_dict(values, on_step=False, on_epoch=True, sync_dist=True, batch_size=1)

    def _sample_and_score(self, trainer: Trainer, pl_module: LightningModule) -> dict[str, float]:
        mine = self.cases[trainer.global_rank :: trainer.world_size]
        metrics = {name: metric.to(pl_module.device) for name, metric in self.ready.items()}
        for metric in metrics.values():
            metric.reset()
        studio = self._studio(trainer, pl_module)
        prompts = [studio.prompt(case) for case in mine]
        made = generate(studio.system, studio.denoise, studio.sampler, prompts, self.batch_size, studio.device)
        for index, clip in made:
            for metric in metrics.values():
                metric.update(clip, mine[index])
            if trainer.is_global_zero and index < self.media:
                self._log_clip(trainer, mine[index], clip, metrics.values())
        means: dict[str, float] = {}
        for metric in metrics.values():
            values: Mapping[str, torch.Tensor] = metric.compute()
            means.update({f"bench/{key}": float(value) for key, value in values.items() if not value.isnan()})
        return means

    def _studio(self, trainer: Trainer, pl_module: LightningModule) -> Studio:
        assert isinstance(pl_module, CanSample)
        manifest = ClipManifest.read(self.clips)
        sampler = copy.copy(pl_module.sampler)
        sampler.steps = min(sampler.steps, self.steps or sampler.steps)
        network = pl_module.network

        def denoise(*inputs: Any) -> Any:
            with trainer.precision_plugin.forward_context():
                return network(*inputs)

        return Studio(
            system=pl_module.system,
            denoise=denoise,
            sampler=sampler,
            frames=manifest.frames,
            height=manifest.height,
            width=manifest.width,
            batch_size=self.batch_size,
            device=str(pl_module.device),
        )

    def _log_clip(self, trainer: Trainer, case: BenchCase, clip: Clip, metrics: Iterable[BenchMetric]) -> None:
        curves = (metric.offset_curve(clip, case) for metric in metrics if isinstance(metric, ClipMetric))
        curve = next((found for found in curves if found), None)
        tag, step = f"bench/{case.category}_{case.key}", trainer.global_step
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                add_clip(logger.experiment, tag, clip, step)
                if curve is not None:
                    picture = draw_offset_curve(curve)
                    logger.experiment.add_image(f"{tag}/offset", picture, step, dataformats="HWC")
