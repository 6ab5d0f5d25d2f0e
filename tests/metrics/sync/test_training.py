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
from metrics.sync.data import Face, FaceCut, FaceCuts, FaceDataModule
from metrics.sync.distortion import Distortion
from metrics.sync.mfcc import mfcc, whole_samples
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


def counted_face(frames: int, seed: int = 0) -> Face:
    """A face whose frames are their own numbers, and noise."""
    video = torch.arange(frames, dtype=torch.uint8)[None, :, None, None].expand(3, -1, 2, 2)
    return Face(video, 0.1 * torch.randn(640 * frames, generator=torch.Generator().manual_seed(seed)))


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
    face = counted_face(40)
    cuts = FaceCuts([face], 10, seed=0)
    firsts = set()
    for number in range(20):
        video, cepstra = cuts[number]
        first = int(video[0, 0, 0, 0])
        assert torch.equal(video, face.video[:, first : first + 10])
        heard = mfcc(whole_samples(face.audio[640 * first : 640 * (first + 10)]))
        torch.testing.assert_close(cepstra, torch.from_numpy(heard).float())
        firsts.add(first)
    assert len(firsts) > 5


def test_every_face_is_drawn_once_in_an_epoch() -> None:
    faces = [Face(torch.full((3, 10, 2, 2), n), torch.zeros(6400)) for n in range(7)]
    cuts = FaceCuts(faces, 10, seed=0)
    epochs = [[int(cuts[number].video[0, 0, 0, 0]) for number in range(first, first + 7)] for first in (0, 7)]
    assert sorted(epochs[0]) == sorted(epochs[1]) == list(range(7))
    assert epochs[0] != epochs[1]


def test_a_cut_is_distorted_by_its_number_alone() -> None:
    plain, distorted = (FaceCuts([counted_face(20)], 10, seed=0, distortion=d) for d in (None, Distortion()))
    assert torch.equal(distorted[3].video, distorted[3].video)
    assert torch.equal(distorted[3].cepstra, distorted[3].cepstra)
    assert not torch.equal(distorted[3].video, plain[3].video)
    assert not torch.equal(distorted[3].cepstra, plain[3].cepstra)


def test_a_distortion_of_nothing_changes_nothing() -> None:
    face = Face(torch.randint(0, 256, (3, 9, 8, 8), dtype=torch.uint8), torch.rand(5760) - 0.5)
    nothing = Distortion(light=0, grain=0, blur=0, gain_db=0, floor_db=-300)
    generator = torch.Generator().manual_seed(0)
    assert torch.equal(nothing.picture(face.video, generator), face.video)
    torch.testing.assert_close(nothing.sound(face.audio, generator), face.audio)


def test_blur_moves_nothing_in_time_or_space() -> None:
    video = torch.zeros(3, 9, 8, 8, dtype=torch.uint8)
    video[:, 4, 2:4, 2:4] = 240
    blurred = Distortion(light=0, grain=0, blur=1).picture(video, torch.Generator().manual_seed(0)).float()
    assert blurred[:, 3].mean() == blurred[:, 5].mean() == pytest.approx(blurred[:, 4].mean().item(), rel=0.01)
    columns = torch.arange(8.0)
    centre = (blurred[0, 4] * columns).sum() / blurred[0, 4].sum()
    assert centre == pytest.approx(2.5, abs=0.05)


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
    assert batch.cepstra.shape == (2, 13, 47)
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
