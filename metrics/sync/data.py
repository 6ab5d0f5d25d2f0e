"""Faces and their sounds for training a SyncNet: random cuts of the faces that a source finds in clip shards.

Shape legend: B cuts, F frames of a cut, S samples of a face, T cepstra.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from data.clips import ClipDataModule, Windows
from data.order import seed_of
from data.shards import StoredClip
from harmony_lit.errors import UserError
from metrics.faces.base import FaceSource
from metrics.rates import samples_at
from metrics.sync.distortion import Distortion
from metrics.sync.features import SAMPLES_PER_FRAME, crop_sound
from metrics.sync.mfcc import SAMPLE_RATE_HZ, mfcc, whole_samples
from metrics.sync.network import WINDOW_FRAMES


class Face(NamedTuple):
    """A face and what is heard meanwhile.

    Attributes:
        video: (3, F, size, size) uint8, BGR.
        audio: (S,) in [-1, 1] at 16 kHz.
    """

    video: Tensor
    audio: Tensor

    @property
    def frames(self) -> int:
        """Frames that have both picture and sound."""
        return min(self.video.shape[1], len(self.audio) // SAMPLES_PER_FRAME)


class FaceCut(NamedTuple):
    """A part of a face as the network takes it; a batch has one axis more in front.

    Attributes:
        video: (3, F, size, size) uint8, BGR.
        cepstra: (13, T) of the same time.
    """

    video: Tensor
    cepstra: Tensor


class FaceCuts(Windows):
    """An endless sequence of cuts; all faces are gone through in a random order, then again in another.

    So no batch that is smaller than the number of faces holds two cuts of one face, which would be told apart in vain.

    Args:
        faces: The faces.
        frames: Frames F of a cut.
        seed: Seed of order, cuts and distortions.
        distortion: What is done to them; nothing if not given.

    Raises:
        UserError: If there is no face, or one is shorter than a cut.
    """

    def __init__(self, faces: Sequence[Face], frames: int, seed: int, distortion: Distortion | None = None) -> None:
        if not faces:
            raise UserError("data: no face was found in the clips; check data.faces and data.categories")
        if (shortest := min(face.frames for face in faces)) < frames:
            raise UserError(f"data.frames: a cut of {frames} does not fit into the shortest face ({shortest})")
        self._faces, self._frames, self._seed, self._distortion = faces, frames, seed, distortion

    def __getitem__(self, number: int) -> FaceCut:
        """Cut ``number``."""
        epoch, place = divmod(number, len(self._faces))
        order = torch.Generator().manual_seed(seed_of(self._seed, "order", epoch))
        face = self._faces[int(torch.randperm(len(self._faces), generator=order)[place])]
        generator = torch.Generator().manual_seed(seed_of(self._seed, "cut", number))
        first = int(torch.randint(face.frames - self._frames + 1, (), generator=generator))
        video = face.video.narrow(1, first, self._frames)
        audio = face.audio.narrow(0, SAMPLES_PER_FRAME * first, SAMPLES_PER_FRAME * self._frames)
        if self._distortion is not None:
            video, audio = self._distortion.picture(video, generator), self._distortion.sound(audio, generator)
        return FaceCut(video, torch.from_numpy(mfcc(whole_samples(audio))).float())


class FaceDataModule(ClipDataModule):
    """Batches of cuts of faces; all faces of a split are held in memory.

    Args:
        root: Folder of clip shards.
        faces: Where faces come from.
        size: Rows and columns of a face in pixels: the network's.
        frames: Frames of a cut.
        batch_size: Cuts of a batch.
        val_batches: Batches of the validation.
        seed: Seed of the cuts.
        categories: Categories of clips to learn from; all if not given.
        distortion: What is done to cuts; nothing if not given.
    """

    def __init__(
        self,
        root: str,
        faces: FaceSource,
        size: int = 224,
        frames: int = 25,
        batch_size: int = 16,
        val_batches: int = 8,
        seed: int = 0,
        categories: list[str] | None = None,
        distortion: Distortion | None = None,
    ) -> None:
        super().__init__(root, batch_size, val_batches, seed)
        if frames < 2 * WINDOW_FRAMES:
            raise UserError(f"data.frames must be at least {2 * WINDOW_FRAMES}, to tell windows apart, not {frames}")
        self.faces, self.size, self.frames = faces, size, frames
        self.categories, self.distortion = categories, distortion

    def part(self, stored: StoredClip) -> list[Face]:
        """All faces of a clip, whole."""
        if self.categories is not None and stored.annotation.category not in self.categories:
            return []
        audio = samples_at(stored.clip, SAMPLE_RATE_HZ)
        return [
            Face(crop.frames.flip(1).transpose(0, 1).contiguous(), crop_sound(crop, audio))
            for crop in self.faces.crops(stored.clip, self.size)
        ]

    def windows(self, clips: Sequence[list[Face]], seed: int) -> FaceCuts:
        """See the base."""
        return FaceCuts([face for faces in clips for face in faces], self.frames, seed, self.distortion)
