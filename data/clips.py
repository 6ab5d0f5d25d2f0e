"""Windows of decoded clips for training codecs: a split held in memory, cut at random places.

Shape legend: B batch, F pixel frames, H W rows and columns, S samples.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from data.order import seed_of
from data.shards import StoredClip, iterate_clips
from harmony_lit.errors import UserError


class RandomWindows(Dataset[Tensor]):
    """A fixed number of random cuts of one length, each from a random clip.

    Window n depends on the seed and on n alone, whatever the order in which windows are asked for.

    Args:
        clips: Tensors whose axis ``axis`` is time.
        axis: The axis of time.
        length: Length of a window along it.
        windows: How many windows there are.
        seed: Seed of the cuts.
    """

    def __init__(self, clips: Sequence[Tensor], axis: int, length: int, windows: int, seed: int) -> None:
        self._clips = [clip for clip in clips if clip.shape[axis] >= length]
        if not self._clips:
            raise UserError(f"data: no clip is as long as a window of {length}: shorten the window")
        self._axis, self._length, self._windows, self._seed = axis, length, windows, seed

    def __len__(self) -> int:
        return self._windows

    def __getitem__(self, number: int) -> Tensor:
        """Window ``number``."""
        generator = torch.Generator().manual_seed(seed_of(self._seed, number))
        clip = self._clips[int(torch.randint(len(self._clips), (), generator=generator))]
        spare = clip.shape[self._axis] - self._length
        start = int(torch.randint(spare + 1, (), generator=generator))
        return clip.narrow(self._axis, start, self._length)


class ClipDataModule(LightningDataModule):
    """Base: windows of the train split, and the same windows of the validation split after each epoch.

    Args:
        root: Folder of clip shards.
        batch_size: Windows per batch.
        steps: Batches of an epoch.
        val_steps: Batches of the validation.
        seed: Seed of the windows.
    """

    def __init__(self, root: str, batch_size: int, steps: int, val_steps: int = 4, seed: int = 0) -> None:
        super().__init__()
        self.root, self.batch_size, self.steps, self.val_steps, self.seed = root, batch_size, steps, val_steps, seed

    @abstractmethod
    def windows(self, clips: Sequence[Tensor], count: int, seed: int) -> Dataset[Tensor]:
        """``count`` windows of ``clips``."""

    @abstractmethod
    def part(self, stored: StoredClip) -> Tensor:
        """What is learned of a clip."""

    def train_dataloader(self) -> DataLoader[Tensor]:
        """Batches of the train split, in a fixed order."""
        return self._loader("train", self.steps)

    def val_dataloader(self) -> DataLoader[Tensor]:
        """Batches of the validation split, the same each time."""
        return self._loader("val", self.val_steps)

    def _loader(self, split: str, steps: int) -> DataLoader[Tensor]:
        clips = [self.part(stored) for stored in iterate_clips(self.root, split)]
        seed = seed_of(self.seed, split)
        return DataLoader(self.windows(clips, steps * self.batch_size, seed), self.batch_size)


class VideoClipDataModule(ClipDataModule):
    """Batches (B, 3, F, H, W) of uint8 frames.

    Args:
        root: Folder of clip shards.
        frames: Frames ``F`` of a window, 1 + 4k.
        batch_size: Windows per batch.
        steps: Batches of an epoch.
        val_steps: Batches of the validation.
        seed: Seed of the windows.
    """

    def __init__(
        self, root: str, frames: int = 9, batch_size: int = 16, steps: int = 1000, val_steps: int = 4, seed: int = 0
    ) -> None:
        super().__init__(root, batch_size, steps, val_steps, seed)
        self.frames = frames

    def part(self, stored: StoredClip) -> Tensor:
        """(3, F, H, W) frames."""
        return stored.clip.video.transpose(0, 1).contiguous()

    def windows(self, clips: Sequence[Tensor], count: int, seed: int) -> Dataset[Tensor]:
        """See the base."""
        return RandomWindows(clips, 1, self.frames, count, seed)


class AudioClipDataModule(ClipDataModule):
    """Batches (B, S) of samples.

    Args:
        root: Folder of clip shards.
        samples: Samples ``S`` of a window.
        batch_size: Windows per batch.
        steps: Batches of an epoch.
        val_steps: Batches of the validation.
        seed: Seed of the windows.
    """

    def __init__(
        self,
        root: str,
        samples: int = 32_768,
        batch_size: int = 16,
        steps: int = 1000,
        val_steps: int = 4,
        seed: int = 0,
    ) -> None:
        super().__init__(root, batch_size, steps, val_steps, seed)
        self.samples = samples

    def part(self, stored: StoredClip) -> Tensor:
        """(S,) samples."""
        return stored.clip.audio

    def windows(self, clips: Sequence[Tensor], count: int, seed: int) -> Dataset[Tensor]:
        """See the base."""
        return RandomWindows(clips, 0, self.samples, count, seed)
