"""Faces and their sounds for training a SyncNet: random cuts of the faces that a source finds in clip shards.

Shape legend: B cuts, F frames of a cut, T cepstra of a face.
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
from metrics.sync.features import crop_sound, sound_at_16_khz
from metrics.sync.mfcc import mfcc, whole_samples
from metrics.sync.network import CEPSTRA_PER_FRAME, WINDOW_FRAMES


class FaceCut(NamedTuple):
    """A part of a face and what is heard meanwhile; a batch has one axis more in front.

    Attributes:
        video: (3, F, size, size) uint8, BGR.
        cepstra: (13, 4 F), which is what the F - 4 windows of the video hear.
    """

    video: Tensor
    cepstra: Tensor


class FaceCuts(Windows):
    """An endless sequence of cuts; all faces are gone through in a random order, then again in another.

    So no batch that is smaller than the number of faces holds two cuts of one face, which would be told apart in vain.

    Args:
        faces: Video (3, F', size, size) and cepstra (13, T) of each face.
        frames: Frames F of a cut.
        seed: Seed of order and cuts.

    Raises:
        UserError: If there is no face, or one is shorter than a cut.
    """

    def __init__(self, faces: Sequence[FaceCut], frames: int, seed: int) -> None:
        if not faces:
            raise UserError("data: no face was found in the clips; check data.faces and data.categories")
        self._starts = [
            1 + min(face.video.shape[1], face.cepstra.shape[1] // CEPSTRA_PER_FRAME) - frames for face in faces
        ]
        if min(self._starts) < 1:
            shortest = min(self._starts) - 1 + frames
            raise UserError(f"data.frames: a cut of {frames} does not fit into the shortest face ({shortest})")
        self._faces, self._frames, self._seed = faces, frames, seed

    def __getitem__(self, number: int) -> FaceCut:
        """Cut ``number``."""
        epoch, place = divmod(number, len(self._faces))
        order = torch.Generator().manual_seed(seed_of(self._seed, "order", epoch))
        index = int(torch.randperm(len(self._faces), generator=order)[place])
        generator = torch.Generator().manual_seed(seed_of(self._seed, "cut", number))
        first = int(torch.randint(self._starts[index], (), generator=generator))
        video, cepstra = self._faces[index]
        heard = cepstra.narrow(1, CEPSTRA_PER_FRAME * first, CEPSTRA_PER_FRAME * self._frames)
        return FaceCut(video.narrow(1, first, self._frames), heard)


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
    ) -> None:
        super().__init__(root, batch_size, val_batches, seed)
        if frames < 2 * WINDOW_FRAMES:
            raise UserError(f"data.frames must be at least {2 * WINDOW_FRAMES}, to tell windows apart, not {frames}")
        self.faces, self.size, self.frames, self.categories = faces, size, frames, categories

    def part(self, stored: StoredClip) -> list[FaceCut]:
        """All faces of a clip, whole."""
        if self.categories is not None and stored.annotation.category not in self.categories:
            return []
        audio = sound_at_16_khz(stored.clip)
        found = []
        for crop in self.faces.crops(stored.clip, self.size):
            cepstra = torch.from_numpy(mfcc(whole_samples(crop_sound(crop, audio)))).float()
            found.append(FaceCut(crop.frames.flip(1).transpose(0, 1).contiguous(), cepstra))
        return found

    def windows(self, clips: Sequence[list[FaceCut]], seed: int) -> FaceCuts:
        """See the base."""
        return FaceCuts([face for faces in clips for face in faces], self.frames, seed)
