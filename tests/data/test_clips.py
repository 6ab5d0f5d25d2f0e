"""Windows for training codecs: reproducible, resumable, and where something moves."""

from __future__ import annotations

import itertools

import pytest
import torch

from data.clips import AudioClipDataModule, RandomWindows, VideoClipDataModule, WindowLoader
from data.shards import ClipShardWriter, encode_sample
from harmony_lit.containers import Annotation, Clip


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    folder = tmp_path_factory.mktemp("windows") / "clips"
    generator = torch.Generator().manual_seed(0)
    with ClipShardWriter(folder, frames=13, height=32, width=32) as writer:
        for number in range(4):
            video = torch.randint(0, 256, (13, 3, 32, 32), generator=generator, dtype=torch.uint8)
            sound = torch.rand(13 * 640, generator=generator) * 0.2
            annotation = Annotation(key=f"clip{number}", category="ambient")
            split = "val" if number == 3 else "train"
            writer.add(split, annotation.key, encode_sample(Clip(video, sound, 25.0, 16_000), annotation))
    return str(folder)


def test_windows_are_cuts_of_their_clips():
    ramps = [torch.arange(100.0), torch.arange(1000.0, 1050.0)]
    windows = RandomWindows(ramps, 0, 10, seed=1)
    cuts = [windows[number] for number in range(50)]
    assert all(torch.equal(cut, cut[0] + torch.arange(10.0)) for cut in cuts)
    assert {bool(cut[0] >= 1000) for cut in cuts} == {True, False}
    assert torch.equal(windows[7], RandomWindows(ramps, 0, 10, seed=1)[7])


def test_starts_follow_their_weights():
    weights = torch.zeros(91)
    weights[30] = 1
    windows = RandomWindows([torch.arange(100.0)], 0, 10, 0, [weights])
    assert {float(windows[number][0]) for number in range(10)} == {30.0}


def test_clip_shorter_than_a_window_is_refused():
    with pytest.raises(ValueError, match="shortest clip"):
        RandomWindows([torch.zeros(5)], 0, 10, seed=0)


def test_loader_goes_on_where_training_stopped():
    windows = RandomWindows([torch.arange(100.0)], 0, 4, seed=0)
    whole = list(itertools.islice(WindowLoader(windows, 3, lambda: 0), 6))
    rest = list(itertools.islice(WindowLoader(windows, 3, lambda: 4), 2))
    assert all(torch.equal(a, b) for a, b in zip(rest, whole[4:], strict=True))


def test_video_windows(clips):
    module = VideoClipDataModule(clips, frames=5, batch_size=2, val_batches=3)
    batch = next(iter(module.train_dataloader()))
    assert batch.shape == (2, 3, 5, 32, 32)
    assert batch.dtype == torch.uint8
    assert len(list(module.val_dataloader())) == 3


def test_audio_windows(clips):
    batch = next(iter(AudioClipDataModule(clips, samples=4096, batch_size=2).train_dataloader()))
    assert batch.shape == (2, 4096)


def test_windows_in_which_much_moves_are_likelier():
    video = torch.zeros(3, 61, 8, 8, dtype=torch.uint8)
    video[:, 30] = 255
    chances = VideoClipDataModule("unused", frames=9)._liveliness(video)
    assert chances.shape == (53,)
    assert chances[26] > 4 * chances[0]
    assert chances.min() > 0


def test_window_that_no_codec_can_take_is_refused():
    with pytest.raises(ValueError, match=r"data\.frames"):
        VideoClipDataModule("unused", frames=8)
