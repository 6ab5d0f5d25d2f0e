"""Windows of decoded clips for training codecs and detectors: a split held in memory, cut at random places.

Shape legend: B batch, F pixel frames, H W rows and columns, S samples.
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor
from torch.utils.data import default_collate

from data.order import seed_of
from data.shards import StoredClip, iterate_clips
from harmony_lit.errors import UserError


class Windows(ABC):
    """An endless sequence of samples, each of which depends on its number alone."""

    @abstractmethod
    def __getitem__(self, number: int) -> Any:
        """Sample ``number``: a tensor, or a named tuple of tensors."""


class RandomWindows(Windows):
    """An endless sequence of random cuts of one length, each from a random clip.

    Window n depends on the seed and on n alone, so that a loader can begin anywhere.

    Args:
        clips: Tensors whose axis ``axis`` is time.
        axis: The axis of time.
        length: Length of a window along it.
        seed: Seed of the cuts.
        weights: For each clip, how likely each start is, in any unit; None for all the same.

    Raises:
        UserError: If there is no clip, or one is shorter than a window.
    """

    def __init__(
        self, clips: Sequence[Tensor], axis: int, length: int, seed: int, weights: Sequence[Tensor] | None = None
    ) -> None:
        shortest = min((clip.shape[axis] for clip in clips), default=0)
        if shortest < length:
            raise UserError(f"data: a window of {length} does not fit into the shortest clip ({shortest}): shorten it")
        self._clips, self._axis, self._length, self._seed, self._weights = clips, axis, length, seed, weights

    def __getitem__(self, number: int) -> Tensor:
        """Window ``number``."""
        generator = torch.Generator().manual_seed(seed_of(self._seed, number))
        index = int(torch.randint(len(self._clips), (), generator=generator))
        clip = self._clips[index]
        if self._weights is None:
            start = int(torch.randint(clip.shape[self._axis] - self._length + 1, (), generator=generator))
        else:
            start = int(torch.multinomial(self._weights[index], 1, generator=generator))
        return clip.narrow(self._axis, start, self._length)


class WindowLoader:
    """Batches of windows from number ``first()`` on; asked anew at each start, so that a resumed fit goes on exactly.

    Args:
        windows: The windows.
        batch_size: Windows of a batch.
        first: Number of the first batch.
        batches: How many batches; None for no end.
    """

    def __init__(self, windows: Windows, batch_size: int, first: Callable[[], int], batches: int | None = None) -> None:
        self._windows, self._batch_size, self._first, self._batches = windows, batch_size, first, batches

    def __iter__(self) -> Iterator[Any]:
        """Batches (B, ...)."""
        first = self._first()
        numbers = itertools.count(first) if self._batches is None else range(first, first + self._batches)
        for number in numbers:
            start = number * self._batch_size
            yield default_collate([self._windows[index] for index in range(start, start + self._batch_size)])


class ClipDataModule(LightningDataModule):
    """Base: windows of the train split without end, and a few fixed ones of the validation split.

    Args:
        root: Folder of clip shards.
        batch_size: Windows of a batch.
        val_batches: Batches of the validation.
        seed: Seed of the windows.
    """

    def __init__(self, root: str, batch_size: int, val_batches: int, seed: int) -> None:
        super().__init__()
        self.root, self.batch_size, self.val_batches, self.seed = root, batch_size, val_batches, seed

    @abstractmethod
    def part(self, stored: StoredClip) -> Any:
        """What is learned of a clip."""

    @abstractmethod
    def windows(self, clips: Sequence[Any], seed: int) -> Windows:
        """Windows of the parts ``clips``."""

    def train_dataloader(self) -> WindowLoader:
        """Batch n is for step n, whenever training starts."""
        return self._loader("train", lambda: self.trainer.global_step if self.trainer else 0, None)

    def val_dataloader(self) -> WindowLoader:
        """The same batches each time."""
        return self._loader("val", lambda: 0, self.val_batches)

    def _loader(self, split: str, first: Callable[[], int], batches: int | None) -> WindowLoader:
        clips = [self.part(stored) for stored in iterate_clips(self.root, split)]
        return WindowLoader(self.windows(clips, seed_of(self.seed, split)), self.batch_size, first, batches)


class VideoClipDataModule(ClipDataModule):
    """Batches (B, 3, F, H, W) of uint8 frames; windows in which much moves are drawn more often.

    Args:
        root: Folder of clip shards.
        frames: Frames ``F`` of a window, 1 + 4k.
        batch_size: Windows of a batch.
        val_batches: Batches of the validation.
        seed: Seed of the windows.
        still: Chance of a motionless window relative to one of average motion; the latter has 1 + ``still``.
    """

    def __init__(
        self,
        root: str,
        frames: int = 9,
        batch_size: int = 16,
        val_batches: int = 8,
        seed: int = 0,
        still: float = 0.5,
    ) -> None:
        super().__init__(root, batch_size, val_batches, seed)
        if frames < 5 or frames % 4 != 1:
            raise UserError(f"data.frames must be 1 + 4k and at least 5, not {frames}")
        self.frames, self.still = frames, still

    def part(self, stored: StoredClip) -> Tensor:
        """(3, F, H, W) frames."""
        return stored.clip.video.transpose(0, 1).contiguous()

    def windows(self, clips: Sequence[Tensor], seed: int) -> RandomWindows:
        """See the base."""
        return RandomWindows(clips, 1, self.frames, seed, [self._liveliness(clip) for clip in clips])

    def _liveliness(self, clip: Tensor) -> Tensor:
        """Chance of each start in a clip (3, F, H, W)."""
        motion = clip.to(torch.int16).diff(dim=1).abs().float().mean(dim=(0, 2, 3))
        windows = motion.unfold(0, self.frames - 1, 1).mean(dim=1)
        return windows / windows.mean().clamp_min(1e-3) + self.still


class AudioClipDataModule(ClipDataModule):
    """Batches (B, S) of samples.

    Args:
        root: Folder of clip shards.
        samples: Samples ``S`` of a window.
        batch_size: Windows of a batch.
        val_batches: Batches of the validation.
        seed: Seed of the windows.
    """

    def __init__(
        self, root: str, samples: int = 32_768, batch_size: int = 16, val_batches: int = 8, seed: int = 0
    ) -> None:
        super().__init__(root, batch_size, val_batches, seed)
        self.samples = samples

    def part(self, stored: StoredClip) -> Tensor:
        """(S,) samples."""
        return stored.clip.audio

    def windows(self, clips: Sequence[Tensor], seed: int) -> RandomWindows:
        """See the base."""
        return RandomWindows(clips, 0, self.samples, seed)
