"""Features of faces and sounds, window by window, as SyncNet is fed.

Shape legend: F frames at 25 fps, S samples at 16 kHz, N windows, D feature width.
"""

from __future__ import annotations

import torch
from torch import Tensor

from metrics.faces.base import FaceCrop
from metrics.networks import Runtime
from metrics.sync.mfcc import mfcc, whole_samples
from metrics.sync.network import CEPSTRA_PER_FRAME, WINDOW_CEPSTRA, WINDOW_FRAMES, SyncNet

SAMPLES_PER_FRAME = 640
"""Samples of 16 kHz sound to a frame at 25 fps."""
BATCH_SIZE = 20
"""Windows that the network sees at once, as published; it moves no number, but time and memory."""


def window_count(frames: int, samples: int) -> int:
    """Windows that are scored in a clip of so many frames and samples, by the published arithmetic.

    The last window that five frames would allow is left out, since its sound may end too early.
    """
    return max(0, min(frames, samples // SAMPLES_PER_FRAME) - WINDOW_FRAMES)


def crop_sound(crop: FaceCrop, audio: Tensor) -> Tensor:
    """The part of a clip's 16 kHz sound (S,) that goes with a face."""
    start = crop.first_frame * SAMPLES_PER_FRAME
    return audio[start : start + len(crop.frames) * SAMPLES_PER_FRAME]


@torch.inference_mode()
def see(
    network: SyncNet, frames: Tensor, count: int, runtime: Runtime = Runtime(), batch_size: int = BATCH_SIZE
) -> Tensor:
    """Features (N, D) of the first ``count`` windows of a face.

    Args:
        network: On the device and in the precision of ``runtime``.
        frames: (F, 3, size, size) uint8 RGB, with F of at least ``count + 4``.
        count: Windows N, at least one.
        runtime: Where the network runs.
        batch_size: Windows at once.
    """
    found = []
    for first in range(0, count, batch_size):
        after = min(count, first + batch_size)
        bgr = frames[first : after + WINDOW_FRAMES - 1].flip(1).transpose(0, 1)
        found.append(network.lip_features(bgr[None].to(runtime.torch_device, runtime.dtype))[0])
    return torch.cat(found)


@torch.inference_mode()
def hear(
    network: SyncNet, sound: Tensor, count: int, runtime: Runtime = Runtime(), batch_size: int = BATCH_SIZE
) -> Tensor:
    """Features (N, D) of the first ``count`` windows of a sound (S,) in [-1, 1]; otherwise as ``see``."""
    cepstra = torch.from_numpy(mfcc(whole_samples(sound)))
    found = []
    for first in range(0, count, batch_size):
        after = min(count, first + batch_size)
        part = cepstra[:, CEPSTRA_PER_FRAME * first : CEPSTRA_PER_FRAME * (after - 1) + WINDOW_CEPSTRA]
        found.append(network.audio_features(part[None].to(runtime.torch_device, runtime.dtype))[0])
    return torch.cat(found)
