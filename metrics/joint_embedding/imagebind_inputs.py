"""What ImageBind is shown, played and told of a clip, by the rules of its own ``imagebind.data``.

Shape legend: F frames, H W rows and columns, S samples, P pieces of two seconds.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from harmony_lit.containers import Clip
from metrics.joint_embedding.fbank import log_mel_bank
from metrics.joint_embedding.towers import CONTEXT, MEL_BANDS, MEL_FRAMES, SIZE
from metrics.rates import samples_at

SAMPLE_RATE_HZ = 16_000
PIECE_S = 2.0
VIDEO_PIECES, AUDIO_PIECES = 5, 3
SHORTEST_SAMPLES = 400
"""Samples of one frame of the spectrogram; a shorter sound has none."""
_CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
_CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
_MEL_MEAN, _MEL_STD = -4.268, 9.138


def starts_s(duration_s: float, pieces: int) -> list[float]:
    """When the pieces begin: evenly, the first with the clip and the last so that it ends with it."""
    latest = max(duration_s - PIECE_S, 0.0)
    return [latest * index / (pieces - 1) for index in range(pieces)]


def video_pieces(clip: Clip) -> Tensor:
    """(15, 3, 2, 224, 224): first and last frame of five pieces, each cropped at three places along its longer side."""
    total = clip.video.shape[0]
    shown = []
    for start in starts_s(clip.duration_s, VIDEO_PIECES):
        first = min(math.ceil(clip.fps * start), total - 1)
        last = max(first, min(math.ceil(clip.fps * (start + PIECE_S)), total) - 1)
        shown += three_crops(short_side_scaled(clip.video[[first, last]].float() / 255))
    mean, std = (torch.tensor(values, device=clip.video.device)[:, None, None] for values in (_CLIP_MEAN, _CLIP_STD))
    return ((torch.stack(shown) - mean) / std).transpose(1, 2)


def short_side_scaled(frames: Tensor) -> Tensor:
    """(F, 3, H, W) in [0, 1], bilinear to a short side of 224, without antialiasing as pytorchvideo does it."""
    height, width = frames.shape[2:]
    size = (math.floor(height / width * SIZE), SIZE) if width < height else (SIZE, math.floor(width / height * SIZE))
    return functional.interpolate(frames, size, mode="bilinear", align_corners=False)


def three_crops(frames: Tensor) -> list[Tensor]:
    """Squares of 224 at the beginning, the middle and the end of the longer side: (F, 3, H, W) each."""
    height, width = frames.shape[2:]
    if height > width:
        return [frames[:, :, top : top + SIZE] for top in (0, math.ceil((height - SIZE) / 2), height - SIZE)]
    return [frames[..., left : left + SIZE] for left in (0, math.ceil((width - SIZE) / 2), width - SIZE)]


def audio_pieces(clip: Clip) -> Tensor:
    """(3, 1, 128, 204) normalised log mels of three pieces, each padded with zeros to 2.04 s."""
    samples = samples_at(clip, SAMPLE_RATE_HZ)
    heard = []
    for start in starts_s(len(samples) / SAMPLE_RATE_HZ, AUDIO_PIECES):
        piece = samples[int(start * SAMPLE_RATE_HZ) : int((start + PIECE_S) * SAMPLE_RATE_HZ)]
        mels = log_mel_bank(piece - piece.mean(), MEL_BANDS, SAMPLE_RATE_HZ).T[None, :, :MEL_FRAMES]
        heard.append((functional.pad(mels, (0, MEL_FRAMES - mels.shape[-1])) - _MEL_MEAN) / _MEL_STD)
    return torch.stack(heard)


def text_tokens(text: str, tokenizer: Any) -> Tensor:
    """(1, 77) by a tokenizer of CLIP's vocabulary."""
    told = tokenizer([text], padding="max_length", max_length=CONTEXT, truncation=True, return_tensors="pt")
    tokens: Tensor = told["input_ids"]
    return tokens
