from __future__ import annotations

import lightning.pytorch as pl
import pytest
import torch

from harmony_lit.geometry import Geometry
from harmony_lit.tasks import AudioOnly, Joint, SampledTask, SumOfTasks
from harmony_lit.training import HarmonyModule, Muon
from tests.harmony_lit.builders import AUDIO_CHANNELS, CAPTION_DIM, CHANNELS, VOCABULARY, make_batch, make_model


class FakeSystem:
    """What the module reads of a system."""

    class video_codec:
        channels = CHANNELS

    class audio_codec:
        channels = AUDIO_CHANNELS

    class text_encoder:
        dim = CAPTION_DIM

    class tokenizer:
        vocab_size = VOCABULARY

    geometry = Geometry()


class Batches(pl.LightningDataModule):
    def train_dataloader(self):
        return torch.utils.data.DataLoader([make_batch(seed=i) for i in range(50)], batch_size=None)

    def val_dataloader(self):
        return torch.utils.data.DataLoader([make_batch(seed=99)], batch_size=None)


def make_module(**settings):
    settings.setdefault("optimizer", Muon())
    settings.setdefault("network", lambda dims: make_model())
    return HarmonyModule(FakeSystem(), **settings)


def fit(module, tmp_path, steps=4, **trainer):
    trainer = pl.Trainer(
        accelerator="cpu",
        max_steps=steps,
        logger=trainer.pop("logger", False),
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
        **trainer,
    )
    trainer.fit(module, datamodule=Batches())
    return trainer


def test_what_is_frozen_does_not_change_by_a_bit_and_the_rest_does(tmp_path):
    module = make_module(frozen=["network.video.*", "network.style.*"])
    before = {name: p.clone() for name, p in module.named_parameters()}
    fit(module, tmp_path)
    changed = {name for name, p in module.named_parameters() if not torch.equal(p, before[name])}
    frozen = {name for name in before if name.startswith(("network.video.", "network.style."))}
    assert frozen and not changed & frozen
    assert changed == set(before) - frozen


def test_a_pattern_that_matches_nothing_is_refused():
    with pytest.raises(ValueError, match="matches no parameter; names begin with network.audio"):
        make_module(frozen=["network.vidio.*"])


def test_everything_frozen_is_refused(tmp_path):
    with pytest.raises(ValueError, match="nothing is left to train"):
        make_module(frozen=["*"]).configure_optimizers()


def test_the_same_seed_trains_the_same_weights_and_another_seed_others(tmp_path):
    runs = []
    for seed in (0, 0, 1):
        torch.manual_seed(0)  # the initial weights
        module = make_module(seed=seed, tasks=SampledTask({"joint": Joint(), "audio": AudioOnly()}))
        fit(module, tmp_path)
        runs.append(torch.cat([p.flatten() for p in module.parameters()]))
    assert torch.equal(runs[0], runs[1])
    assert not torch.equal(runs[0], runs[2])


def test_losses_are_logged_by_task_modality_and_sigma(tmp_path):
    module = make_module(tasks=SumOfTasks({"joint": Joint(), "audio": AudioOnly()}))
    trainer = fit(module, tmp_path, steps=4, log_every_n_steps=2, val_check_interval=4)
    logged = trainer.logged_metrics
    for tag in ("train/loss", "train/joint/video", "train/joint/audio", "train/audio/audio", "val/joint/video"):
        assert torch.isfinite(torch.as_tensor(logged[tag])), tag
    assert any(tag.startswith("train_sigma/joint/video/") for tag in logged)


def test_the_system_is_no_part_of_the_modules_state():
    module = make_module()
    assert all(name.startswith("network.") for name in module.state_dict())
