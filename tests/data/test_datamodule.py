"""Batches: padding and conditions, independence of workers, exact resume under Lightning, and clear refusals."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor

from data.assemble import NO_DROPOUT, ConditionDropout
from data.datamodule import LatentDataModule
from data.index import make_index
from data.latents import encode_shards
from data.manifest import LatentManifest
from data.reference import NoReference, OtherUtterance, SameClip
from data.store import LatentStore, StoredLatents
from data.targets import AudioTarget, JointTarget
from harmony_lit.containers import Batch
from harmony_lit.errors import UserError

from .conftest import make_system, write_clips


def tensors(batch: Batch) -> Iterator[Tensor]:
    if batch.video is not None:
        yield from (batch.video.x, batch.video.lengths)
    conditions = batch.conditions
    yield from (batch.audio.x, batch.audio.lengths)
    yield from (conditions.video_caption.x, conditions.video_caption.mask, conditions.audio_caption.x)
    yield from (conditions.transcript.ids, conditions.transcript.mask)
    yield from (conditions.reference_audio.x, conditions.reference_audio.lengths)
    yield from (conditions.reference_image, conditions.has_image)


def fingerprint(batch: Batch) -> str:
    digest = hashlib.sha256(" ".join(annotation.key for annotation in batch.annotations).encode())
    for tensor in tensors(batch):
        digest.update(str(tuple(tensor.shape)).encode() + tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()


def module(root: Path, **settings: Any) -> LatentDataModule:
    made = LatentDataModule(str(root), **{"batch_size": 4, "seed": 5, **settings})
    made.setup()
    return made


def batches(root: Path, count: int, **settings: Any) -> list[Batch]:
    return list(islice(module(root, **settings).train_dataloader(), count))


# What a batch holds


def test_joint_batches_hold_padded_latents_with_their_lengths(latent_folder: Path) -> None:
    store = LatentStore(latent_folder, "train")
    by_key = {store.read(number).annotation.key: store.read(number) for number in range(len(store))}
    for batch in batches(latent_folder, 6, dropout=NO_DROPOUT, reference=NoReference()):
        assert batch.video is not None
        assert batch.video.ragged == (int(batch.video.lengths.min()) < batch.video.x.shape[2])
        for row, annotation in enumerate(batch.annotations):
            stored = by_key[annotation.key]
            assert stored.video is not None
            frames, latents = int(batch.video.lengths[row]), int(batch.audio.lengths[row])
            assert torch.equal(batch.video.x[row, :, :frames], stored.video.float())
            assert torch.equal(batch.audio.x[row, :, :latents], stored.audio.float())
            assert batch.video.x[row, :, frames:].abs().sum() == 0
            assert batch.audio.x[row, :, latents:].abs().sum() == 0
            assert torch.equal(batch.conditions.reference_image[row], stored.video[:, 0].float())
            mask = batch.conditions.video_caption.mask[row]
            assert torch.equal(batch.conditions.video_caption.x[row][mask], stored.video_caption.float())
            letters = int(batch.conditions.transcript.mask[row].sum())
            assert letters == len(annotation.transcript)
        assert batch.conditions.reference_audio.lengths.eq(0).all()
        assert batch.conditions.has_image.all()


def test_dropped_conditions_look_absent(latent_folder: Path) -> None:
    everything = ConditionDropout(1.0, 1.0, 1.0, 1.0, 1.0)
    empty = make_system().text_encoder.encode([""]).x[0].half().float()
    (batch,) = batches(latent_folder, 1, dropout=everything)
    conditions = batch.conditions
    for caption in (conditions.video_caption, conditions.audio_caption):
        assert torch.equal(caption.x, empty.expand(4, -1, -1))
        assert caption.mask.all()
    assert not conditions.transcript.mask.any()
    assert conditions.reference_audio.lengths.eq(0).all()
    assert not conditions.has_image.any()


def test_each_condition_is_dropped_at_its_own_rate(latent_folder: Path) -> None:
    dropout = ConditionDropout(0.0, 0.0, 0.0, 0.0, 0.5)
    has_image = torch.cat([b.conditions.has_image for b in batches(latent_folder, 60, dropout=dropout)])
    assert 0.4 < has_image.float().mean() < 0.6


def test_audio_batches_read_no_video(latent_folder: Path) -> None:
    for batch in batches(latent_folder, 3, target=AudioTarget(max_s=0.8), reference=SameClip(0.3, 0.6)):
        assert batch.video is None
        assert batch.audio.lengths.eq(25).all()
        assert (
            batch.conditions.reference_audio.lengths.min() >= 9 or batch.conditions.reference_audio.lengths.min() == 0
        )
        assert batch.conditions.reference_image.shape == (4, 3, 2, 2)
        assert not batch.conditions.has_image.any()
    assert LatentStore(latent_folder, "train", with_video=False).read(0).video is None


def test_a_longest_length_cuts_picture_and_sound_together(latent_folder: Path) -> None:
    for batch in batches(latent_folder, 3, target=JointTarget(max_latent_frames=4)):
        assert batch.video is not None
        assert batch.video.lengths.eq(4).all()
        assert batch.audio.lengths.eq(16).all()  # 13 frames of 25 per second are 16 whole latents
        assert all(event["time_s"] < 16 / 31.25 for annotation in batch.annotations for event in annotation.events)


def test_a_reference_cut_from_the_clip_shortens_picture_and_sound_together(latent_folder: Path) -> None:
    ambient = batches(
        latent_folder, 5, categories={"ambient": 1}, reference=OtherUtterance(max_s=0.6), dropout=NO_DROPOUT
    )
    for batch in ambient:
        assert batch.video is not None
        beside = [int((1 + 4 * (frames - 1)) * 31.25 / 25) for frames in batch.video.lengths.tolist()]
        assert batch.audio.lengths.tolist() == beside
        assert batch.conditions.reference_audio.lengths.min() >= 15
        total = batch.audio.lengths + batch.conditions.reference_audio.lengths
        assert (total <= 42).all()


def test_categories_are_mixed_by_their_shares(latent_folder: Path) -> None:
    many = batches(latent_folder, 40, categories={"speech": 1, "ambient": 1})
    names = [annotation.category for batch in many for annotation in batch.annotations]
    assert set(names) == {"speech", "ambient"}
    assert abs(names.count("speech") - 80) <= 2


# Order and randomness


@pytest.mark.parametrize("num_workers", [1, 2])
def test_workers_change_nothing(latent_folder: Path, num_workers: int) -> None:
    alone = [fingerprint(batch) for batch in batches(latent_folder, 9)]
    assert [fingerprint(batch) for batch in batches(latent_folder, 9, num_workers=num_workers)] == alone


def test_memory_changes_nothing_and_seeds_do(latent_folder: Path) -> None:
    plain = [fingerprint(batch) for batch in batches(latent_folder, 9)]
    assert [fingerprint(batch) for batch in batches(latent_folder, 9, cache_in_memory=True)] == plain
    assert [fingerprint(batch) for batch in batches(latent_folder, 9, seed=6)] != plain
    assert len(set(plain)) == 9


def test_the_loader_leaves_the_global_generators_alone(latent_folder: Path) -> None:
    before = torch.get_rng_state()
    batches(latent_folder, 3, num_workers=1)
    batches(latent_folder, 3)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_restored_loader_goes_on_without_reading_what_lies_before(
    latent_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = [fingerprint(batch) for batch in batches(latent_folder, 60)]
    loader = module(latent_folder).train_dataloader()
    assert len(list(islice(loader, 47))) == 47
    state = json.loads(json.dumps(loader.state_dict()))
    assert state["batches"] == 47
    read: list[int] = []
    original = LatentStore.read

    def counted(self: LatentStore, number: int) -> StoredLatents:
        read.append(number)
        return original(self, number)

    monkeypatch.setattr(LatentStore, "read", counted)
    again = module(latent_folder).train_dataloader()
    again.load_state_dict(state)
    assert [fingerprint(batch) for batch in islice(again, 13)] == whole[47:]
    assert len(read) == 13 * 4


def test_another_order_is_noticed_on_resume(latent_folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    state = module(latent_folder).train_dataloader().state_dict()
    module(latent_folder, batch_size=3).train_dataloader().load_state_dict(state)
    assert "differ from those of the checkpoint" in caplog.text


def test_validation_is_finite_ordered_and_complete(latent_folder: Path) -> None:
    loader = module(latent_folder, eval_batch_size=2).val_dataloader()
    first, second = list(loader), list(loader)
    assert len(loader) == len(first) == 3
    keys = [annotation.key for batch in first for annotation in batch.annotations]
    assert keys == [f"clip{index:03d}" for index in range(24, 29)]
    assert [fingerprint(batch) for batch in first] == [fingerprint(batch) for batch in second]
    assert all(batch.conditions.has_image.all() for batch in first)


def test_ranks_train_on_different_samples_and_validate_on_all(
    latent_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained, validated, counts = [], [], []
    for rank in range(2):
        monkeypatch.setattr(LatentDataModule, "_place", lambda self, rank=rank: (rank, 2))
        data = module(latent_folder, batch_size=2)
        batches_of_an_epoch = islice(data.train_dataloader(), 6)
        trained.append({annotation.key for batch in batches_of_an_epoch for annotation in batch.annotations})
        validated += [annotation.key for batch in data.val_dataloader() for annotation in batch.annotations]
        counts.append(len(data.val_dataloader()))
    assert not trained[0] & trained[1]
    assert set(validated) == {f"clip{index:03d}" for index in range(24, 29)}
    assert counts[0] == counts[1]


# Under Lightning


class Recorder(LightningModule):
    """Writes a fingerprint per batch, and fails in a chosen step."""

    def __init__(self, fail_at: int = -1) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.fail_at = fail_at
        self.seen: list[str] = []
        self.validated = 0

    def training_step(self, batch: Batch, index: int) -> Tensor:
        if self.global_step == self.fail_at:
            raise RuntimeError("power cut")
        self.seen.append(fingerprint(batch))
        return (self.weight * batch.audio.x.mean()).sum()

    def validation_step(self, batch: Batch, index: int) -> None:
        self.validated += 1

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def fit(
    root: Path,
    folder: Path,
    steps: int,
    workers: int = 0,
    fail_at: int = -1,
    resume: Path | None = None,
    **trainer: Any,
) -> list[str]:
    recorder = Recorder(fail_at)
    saver = ModelCheckpoint(folder, save_last=True, every_n_train_steps=5, save_top_k=-1, save_on_exception=True)
    settings: dict[str, Any] = {
        "logger": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "accelerator": "cpu",
    }
    runner = Trainer(max_steps=steps, callbacks=[saver], **{**settings, **trainer})
    data = LatentDataModule(str(root), batch_size=4, seed=5, num_workers=workers)
    if fail_at >= 0:
        with pytest.raises(RuntimeError, match="power cut"):
            runner.fit(recorder, data, ckpt_path=resume)
    else:
        runner.fit(recorder, data, ckpt_path=resume)
    return recorder.seen


@pytest.fixture(scope="module")
def uninterrupted(latent_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return fit(latent_folder, tmp_path_factory.mktemp("whole"), steps=17)


@pytest.mark.parametrize(("before", "after"), [(0, 0), (1, 1), (2, 2), (2, 0)])
def test_after_a_kill_the_same_batches_follow(
    latent_folder: Path, tmp_path: Path, uninterrupted: list[str], before: int, after: int
) -> None:
    first = fit(latent_folder, tmp_path, steps=17, workers=before, fail_at=8)
    assert first == uninterrupted[:8]
    periodic = next(tmp_path.glob("*step=5.ckpt"))
    assert fit(latent_folder, tmp_path / "a", steps=17, workers=after, resume=periodic) == uninterrupted[5:]


def test_a_checkpoint_of_an_exception_repeats_the_step_that_failed(
    latent_folder: Path, tmp_path: Path, uninterrupted: list[str]
) -> None:
    fit(latent_folder, tmp_path, steps=17, fail_at=8)
    saved = max(tmp_path.glob("*.ckpt"), key=lambda path: torch.load(path, weights_only=False)["global_step"])
    assert torch.load(saved, weights_only=False)["global_step"] == 8
    assert fit(latent_folder, tmp_path / "a", steps=17, resume=saved) == uninterrupted[8:]


def test_validation_and_short_epochs_do_not_move_the_order(
    latent_folder: Path, tmp_path: Path, uninterrupted: list[str]
) -> None:
    short: dict[str, Any] = {"limit_train_batches": 6, "val_check_interval": 3}
    assert fit(latent_folder, tmp_path / "a", steps=17, **short) == uninterrupted
    fit(latent_folder, tmp_path / "b", steps=17, fail_at=13, **short)
    resumed = fit(latent_folder, tmp_path / "c", steps=17, resume=next((tmp_path / "b").glob("*step=10.ckpt")), **short)
    assert resumed == uninterrupted[10:]


def test_stopping_and_going_on_twice_ends_at_the_same_batch(
    latent_folder: Path, tmp_path: Path, uninterrupted: list[str]
) -> None:
    seen = fit(latent_folder, tmp_path / "a", steps=4)
    seen += fit(latent_folder, tmp_path / "b", steps=15, resume=tmp_path / "a" / "last.ckpt")
    seen += fit(latent_folder, tmp_path / "c", steps=17, resume=tmp_path / "b" / "last.ckpt")
    assert [uninterrupted.index(item) for item in seen] == list(range(17))


# Refusals


def copied(folder: Path, tmp_path: Path) -> Path:
    shutil.copytree(folder, tmp_path / "latents")
    return tmp_path / "latents"


def test_missing_latents_say_how_to_make_them(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no latents at .*absent: encode the clips with `harmony data encode"):
        module(tmp_path / "absent")


def test_latents_of_another_codec_or_of_other_clips_are_refused(latent_folder: Path, tmp_path: Path) -> None:
    module(latent_folder, system=make_system())
    with pytest.raises(UserError, match=r"stale: the video codec changed .* encode again with `harmony data encode"):
        module(latent_folder, system=make_system(video="video-2"))
    with pytest.raises(UserError, match="the audio codec and the caption encoder changed"):
        module(latent_folder, system=make_system(audio="audio-2", dim=16))
    clips = write_clips(tmp_path / "clips", train=4, val=1)
    encode_shards(clips, tmp_path / "latents", make_system())
    write_clips(clips, train=5, val=1)
    with pytest.raises(UserError, match="the clips changed"):
        module(tmp_path / "latents")


def test_a_truncated_shard_is_an_error_never_less_data(latent_folder: Path, tmp_path: Path) -> None:
    root = copied(latent_folder, tmp_path)
    shard = root / "train-000002.tar"
    shard.write_bytes(shard.read_bytes()[:9_000])
    with pytest.raises(UserError, match=r"train-000002\.tar is truncated .* of 5 samples can be read"):
        module(root).train_dataloader()


def spoil(root: Path, rows: int) -> None:
    """Overwrites the head of some samples' audio, in place."""
    shard = root / "train-000000.tar"
    places = [members["audio.npy"][0] for members in make_index(shard).members[:rows]]
    data = bytearray(shard.read_bytes())
    for place in places:
        data[place : place + 6] = b"broken"
    shard.write_bytes(bytes(data))


@pytest.mark.parametrize("cached", [False, True])
def test_broken_samples_are_counted_replaced_and_too_many_are_an_error(
    latent_folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, cached: bool
) -> None:
    root = copied(latent_folder, tmp_path)
    spoil(root, rows=2)
    settings: dict[str, Any] = {"cache_in_memory": cached, "max_broken": 2}
    many = batches(root, 12, **settings)
    assert all(len(batch) == 4 for batch in many)
    assert caplog.text.count("broken sample") == 2
    assert "clip000 of" in caplog.text
    assert [fingerprint(b) for b in batches(root, 12, **settings)] == [fingerprint(b) for b in many]
    with pytest.raises(UserError, match="2 samples cannot be read, max_broken is 1"):
        batches(root, 12, max_broken=1)


def test_an_unknown_category_names_the_nearest(latent_folder: Path) -> None:
    with pytest.raises(UserError, match=r"no 'speach' in its train split\. Did you mean 'speech'"):
        module(latent_folder, categories={"speach": 1}).train_dataloader()
    with pytest.raises(UserError, match="at least one share"):
        module(latent_folder, categories={"speech": 0}).train_dataloader()


def test_a_missing_split_is_named(latent_folder: Path) -> None:
    assert "test" not in LatentManifest.read(latent_folder).splits
    with pytest.raises(UserError, match="no split 'test'"):
        module(latent_folder).test_dataloader()
