import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import TensorBoardLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.utils.data import DataLoader

from harmony_lit.containers import Prediction
from harmony_lit.errors import UserError
from metrics.av_align import AVAlign
from metrics.callback import BenchCallback


class Pull(torch.nn.Module):
    """A denoiser of one weight."""

    def __init__(self):
        super().__init__()
        self.rate = torch.nn.Parameter(torch.tensor(0.5))
        self.clips_seen = 0

    def forward(self, video, audio, t_video, t_audio, conditions):
        self.clips_seen += len(t_video)
        return Prediction(self.rate * video.x, self.rate * audio.x)


class Tiny(pl.LightningModule):
    """Learns one weight from random numbers drawn in the training step."""

    def __init__(self, studio):
        super().__init__()
        self.network, self.system, self.sampler = Pull(), studio.system, studio.sampler

    def training_step(self, batch, batch_idx):
        loss = (self.network.rate * torch.randn(4) - batch.mean()).square().mean()
        self.log("train/loss", loss)
        return loss

    def validation_step(self, batch, batch_idx):
        self.log("val/loss", batch.mean())

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def fit(folder, studio, *callbacks: Callback, steps=6, **options):
    pl.seed_everything(0)
    module = Tiny(studio)
    loader = DataLoader(torch.arange(8.0), batch_size=2, shuffle=True)
    trainer = pl.Trainer(
        default_root_dir=folder,
        max_steps=steps,
        max_epochs=-1,
        val_check_interval=2,
        callbacks=list(callbacks),
        logger=TensorBoardLogger(folder, name="tb", version=""),
        accelerator="cpu",
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        num_sanity_val_steps=0,
        log_every_n_steps=1,
        **options,
    )
    trainer.fit(module, loader, DataLoader(torch.arange(4.0), batch_size=2))
    return trainer, module


def bench(clip_shards, **options):
    return BenchCallback(str(clip_shards), {"av": AVAlign()}, split="test", per_category=1, **options)


def test_training_is_the_same_to_the_bit_with_the_callback(tmp_path, clip_shards, studio):
    _, plain = fit(tmp_path / "plain", studio)
    _, watched = fit(tmp_path / "watched", studio, bench(clip_shards))
    assert torch.equal(plain.network.rate, watched.network.rate)
    assert watched.network.clips_seen > 0


def test_scalars_and_media_are_logged(tmp_path, clip_shards, studio):
    trainer, _ = fit(tmp_path, studio, bench(clip_shards, media=2), steps=2)
    assert 0 <= float(trainer.callback_metrics["bench/av_align"]) <= 1
    assert float(trainer.callback_metrics["perf/bench_s"]) > 0
    events = EventAccumulator(str(tmp_path / "tb")).Reload()
    assert {"bench/av_align", "perf/bench_s"} <= set(events.Tags()["scalars"])
    assert set(events.Tags()["images"]) == {
        f"bench/{case}/{kind}" for case in ("ambient_test-000", "speech_test-001") for kind in ("video", "spectrogram")
    }
    assert len(events.Tags()["audio"]) == 2
    gif = events.Images("bench/ambient_test-000/video")[0].encoded_image_string
    assert gif.startswith(b"GIF89a")


def test_cost_is_bounded_by_cases_steps_and_validations(tmp_path, clip_shards, studio):
    callback = bench(clip_shards, every_n_validations=2, steps=1)
    _, module = fit(tmp_path, studio, callback, steps=6)  # validations 0, 1, 2; benched at 0 and 2
    assert module.network.clips_seen == 2 * 3 * 1
    assert callback.state_dict() == {"validations": 3}


def test_a_module_that_cannot_sample_is_told(tmp_path, clip_shards, studio):
    class Other(pl.LightningModule):
        pass

    with pytest.raises(UserError, match="Other"):
        bench(clip_shards).setup(pl.Trainer(default_root_dir=tmp_path, logger=False), Other(), "fit")
