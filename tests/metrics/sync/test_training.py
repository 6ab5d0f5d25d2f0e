"""A fit leaves weights that a metric reads shifts with, and its loss is what its formula says."""

from __future__ import annotations

import math
from pathlib import Path

import lightning as L
import pytest
import torch

from data.shards import ClipShardWriter, encode_sample
from harmony_lit.containers import Annotation
from harmony_lit.errors import UserError
from metrics.faces.base import WholePicture
from metrics.networks import Runtime
from metrics.sync.check import auc, check_sync, with_lead
from metrics.sync.checkpoint import load_syncnet
from metrics.sync.data import FaceCut, FaceCuts, FaceDataModule
from metrics.sync.network import SyncNet
from metrics.sync.training import SyncNetModule, contrastive_loss


@pytest.fixture(scope="module")
def shards(tmp_path_factory, blinking) -> str:
    folder = tmp_path_factory.mktemp("sync") / "clips"
    with ClipShardWriter(folder, frames=50, height=52, width=52) as writer:
        for number in range(10):
            clip = blinking(number, size=52)
            note = Annotation(key=f"clip{number}", category="speech" if number % 2 else "ambient")
            writer.add("val" if number > 7 else "train", note.key, encode_sample(clip, note))
    return str(folder)


def counted_face(frames: int) -> FaceCut:
    """A face whose frames and cepstra are their own numbers."""
    video = torch.arange(frames)[None, :, None, None].expand(3, -1, 2, 2)
    return FaceCut(video, torch.arange(4 * frames)[None].expand(13, -1))


def test_the_loss_agrees_with_a_loop() -> None:
    generator = torch.Generator().manual_seed(0)
    lips, sounds = torch.randn(2, 3, 4, generator=generator), torch.randn(2, 3, 4, generator=generator)
    seen, heard = lips.reshape(6, 4).tolist(), sounds.reshape(6, 4).tolist()
    total = 0.0
    for i in range(6):
        others = [math.exp(-math.dist(seen[i], h)) for h in heard] + [math.exp(-math.dist(seen[i], [0] * 4))]
        back = [math.exp(-math.dist(s, heard[i])) for s in seen]
        total -= math.log(others[i] / sum(others)) + math.log(back[i] / sum(back))
    assert contrastive_loss(lips, sounds).item() == pytest.approx(total / 12, rel=1e-4)


def test_sound_and_picture_of_a_cut_begin_together() -> None:
    cuts = FaceCuts([counted_face(30), counted_face(40)], 10, seed=0)
    for number in range(20):
        video, cepstra = cuts[number]
        assert video.shape == (3, 10, 2, 2)
        assert cepstra.shape == (13, 40)
        assert cepstra[0, 0] == 4 * video[0, 0, 0, 0]


def test_every_face_is_drawn_once_in_an_epoch() -> None:
    faces = [FaceCut(torch.full((3, 10, 2, 2), n), torch.full((13, 40), n)) for n in range(7)]
    cuts = FaceCuts(faces, 10, seed=0)
    epochs = [[int(cuts[number].video[0, 0, 0, 0]) for number in range(first, first + 7)] for first in (0, 7)]
    assert sorted(epochs[0]) == sorted(epochs[1]) == list(range(7))
    assert epochs[0] != epochs[1]


def test_faces_that_are_too_short_or_absent_are_refused() -> None:
    with pytest.raises(UserError, match="does not fit into the shortest face \\(8\\)"):
        FaceCuts([counted_face(20), counted_face(8)], 10, seed=0)
    with pytest.raises(UserError, match="no face was found"):
        FaceCuts([], 10, seed=0)
    with pytest.raises(UserError, match=r"data\.frames must be at least 10"):
        FaceDataModule("unused", WholePicture(), frames=9)


def test_categories_that_are_not_wanted_are_left_out(shards: str) -> None:
    module = FaceDataModule(shards, WholePicture(), size=52, frames=12, batch_size=2, categories=["speech"])
    batch = next(iter(module.train_dataloader()))
    assert isinstance(batch, FaceCut)
    assert batch.video.shape == (2, 3, 12, 52, 52)
    assert batch.cepstra.shape == (2, 13, 48)
    with pytest.raises(UserError, match="no face was found"):
        FaceDataModule(shards, WholePicture(), size=52, frames=12, categories=["complex"]).train_dataloader()


def test_a_fitted_network_reads_shifts_and_tells_true_from_foreign_sound(tmp_path: Path, shards: str, blinking) -> None:
    torch.manual_seed(0)
    network = SyncNet(52, [8, 8, 8, 8, 8, 16], [8, 8, 8, 8, 8, 16], 16)
    path = str(tmp_path / "blinking.safetensors")
    trainer = L.Trainer(
        max_steps=60,
        max_epochs=-1,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        limit_val_batches=0,
        default_root_dir=tmp_path,
    )
    data = FaceDataModule(shards, WholePicture(), size=52, frames=20, batch_size=4)
    trainer.fit(SyncNetModule(network, path, learning_rate=5e-3), datamodule=data)
    clips = [blinking(seed, size=52) for seed in range(100, 106)]
    found = check_sync(load_syncnet(path, Runtime("cpu")), clips, WholePicture(), leads=(-4, 0, 3))
    assert found.exact > 0.9
    assert found.confidence_auc > 0.9
    assert found.distance < found.distance_shuffled


def test_sound_is_moved_by_whole_frames_and_silence_moves_in() -> None:
    audio = torch.arange(1.0, 11.0)
    assert with_lead(audio, 2, 3).tolist() == [7, 8, 9, 10, 0, 0, 0, 0, 0, 0]
    assert with_lead(audio, -1, 3).tolist() == [0, 0, 0, 1, 2, 3, 4, 5, 6, 7]
    assert with_lead(audio, 0, 3).tolist() == audio.tolist()


def test_auc_counts_pairs() -> None:
    assert auc([3, 2], [1, 2]) == pytest.approx((1 + 1 + 1 + 0.5) / 4)
