"""The LightningModule: the dual-branch model, the cross-task loss, and sampling for validation."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Sequence
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Generator, Tensor

from harmony_lit.containers import Batch
from harmony_lit.model import DualBranchDiT, ModelDims
from harmony_lit.sampling.sampler import Sampler
from harmony_lit.system import System
from harmony_lit.tasks import AudioDriven, Joint, Noise, SharedTimesteps, SumOfTasks, TaskMixture, VideoDriven
from harmony_lit.tasks.timesteps import TimestepSampler
from harmony_lit.training.lora import LoRA, attach
from harmony_lit.training.loss_log import LossLog
from harmony_lit.training.optimizers import AdamW, Constant, OptimizerFactory, Schedule


class HarmonyModule(pl.LightningModule):
    """Trains a ``DualBranchDiT`` with Cross-Task Synergy.

    All randomness of a step comes from a generator seeded by (seed, step, rank), so that a run that was killed and
    resumed sees the very numbers that it would have seen.

    Args:
        system: Geometry, codecs and encoders; gives the model its channels. Not part of the module's state.
        network: The model; its dims are passed by the module.
        tasks: Training tasks and how they share a step.
        timesteps: Timestep sampler.
        optimizer: Builds the optimiser from the trained parameters.
        schedule: Factor of the learning rate at each step.
        sampler: Sampling for validation and bench.
        frozen: Patterns (``fnmatch`` on parameter names, as ``network.video.*``) of what is not trained.
        adapters: Low-rank adapters by name, which are then trained instead of the weights; see ``LoRA``.
        seed: Seed of noise and timesteps.
        sigma_buckets: Buckets of sigma in which losses are logged.
    """

    def __init__(
        self,
        system: System,
        network: Callable[[ModelDims], DualBranchDiT] = DualBranchDiT,
        tasks: TaskMixture | None = None,
        timesteps: TimestepSampler | None = None,
        optimizer: OptimizerFactory | None = None,
        schedule: Schedule | None = None,
        sampler: Sampler | None = None,
        frozen: Sequence[str] = (),
        adapters: dict[str, LoRA] | None = None,
        seed: int = 0,
        sigma_buckets: int = 4,
    ) -> None:
        super().__init__()
        self.system = system
        self.network = network(
            ModelDims(
                video_channels=system.video_codec.channels,
                audio_channels=system.audio_codec.channels,
                caption_dim=system.text_encoder.dim,
                vocab_size=system.tokenizer.vocab_size,
                geometry=system.geometry,
            )
        )
        default_tasks = {"joint": Joint(), "audio_driven": AudioDriven(), "video_driven": VideoDriven()}
        self.tasks = tasks or SumOfTasks(default_tasks)
        self.timesteps = timesteps or SharedTimesteps()
        self.optimizer = optimizer or AdamW()
        self.schedule = schedule or Constant()
        self.sampler = sampler or Sampler()
        self.seed = seed
        self.loss_log = LossLog(sigma_buckets)
        freeze(self, frozen)
        self.adapters = adapters or {}
        self._lora: dict[str, Any] | None = None

    def configure_model(self) -> None:
        """Puts the adapters in, when training begins; once, though Lightning and the EMA callback both call it."""
        if self.adapters and self._lora is None:
            self._lora = attach(self, self.adapters, self.seed)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Adds what tells how the adapters in the state are merged."""
        if self._lora is not None:
            checkpoint["lora"] = self._lora

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Loss of one batch."""
        generator = self._generator(self.global_step)
        noise = self.draw_noise(batch, generator)
        loss = self.tasks(self.network, batch, noise, self.global_step, generator)
        self.loss_log.add(loss, noise.sigma)
        self.log("train/loss", loss.total, prog_bar=True)
        if (self.global_step + 1) % self.trainer.log_every_n_steps == 0:  # type: ignore[attr-defined]
            self.log_dict(self.loss_log.flush())
        return loss.total

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Losses of held-out clips, the same noise at every validation."""
        generator = self._generator(batch_idx, validation=True)
        noise = self.draw_noise(batch, generator, validation=True)
        for name, task in self.tasks.tasks.items():
            loss = task(self.network, batch, noise)
            for modality, value in (("video", loss.video), ("audio", loss.audio)):
                if value is not None:
                    self.log(f"val/{name}/{modality}", value.mean(), batch_size=len(batch), sync_dist=True)

    def draw_noise(self, batch: Batch, generator: Generator, validation: bool = False) -> Noise:
        """Noise, sigmas and the choice of anchors that all tasks of a step share; in validation no sample gets one."""
        sigma = self.timesteps(len(batch), generator)
        video = None
        if batch.video is not None:
            video = torch.randn(batch.video.x.shape, generator=generator, device=generator.device)
        audio = torch.randn(batch.audio.x.shape, generator=generator, device=generator.device)
        anchored = None if validation else torch.rand(len(batch), generator=generator, device=generator.device)
        return Noise(video, audio, sigma, anchored)

    def configure_optimizers(self) -> Any:
        """The optimiser over what is trained, and its schedule per step."""
        trained = [(name, p) for name, p in self.named_parameters() if p.requires_grad]
        if not trained:
            raise ValueError("model.frozen: every parameter is frozen, nothing is left to train")
        optimizer = self.optimizer(trained)
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, self.schedule)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def _generator(self, step: int, validation: bool = False) -> Generator:
        numbers = torch.tensor([self.seed, step, self.global_rank, int(validation)])
        primes = torch.tensor([1_000_003, 7_919, 104_729, 15_485_863])
        return Generator(self.device).manual_seed(int((numbers * primes).sum()))


def freeze(module: torch.nn.Module, patterns: Sequence[str]) -> list[str]:
    """Stops training of all parameters whose name matches a pattern, and returns their names.

    Raises:
        ValueError: If a pattern matches nothing.
    """
    names = [name for name, _ in module.named_parameters()]
    frozen: set[str] = set()
    for pattern in patterns:
        matched = fnmatch.filter(names, pattern)
        if not matched:
            tops = sorted({".".join(name.split(".")[:2]) for name in names})
            raise ValueError(f"model.frozen: '{pattern}' matches no parameter; names begin with {', '.join(tops)}")
        frozen.update(matched)
    for name, parameter in module.named_parameters():
        if name in frozen:
            parameter.requires_grad_(False)
    return sorted(frozen)
