"""DeSync: by how many seconds a network believes that sound and picture are apart.

The protocol is that of Viertola et al. 2024 and av-benchmark (Cheng et al. 2025): Synchformer's most likely offset over
the first and over the last 14 segments of a clip, without sign, and the mean of both.

Shape legend: S segments, D width.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from harmony_lit.containers import Clip
from metrics.base import ClipMetric, Measure, Score
from metrics.bench.cases import BenchCase
from metrics.networks import Runtime, absent, name_of, shared
from metrics.synchformer.head import SEGMENTS
from metrics.synchformer.inputs import SEGMENT_S, audio_segments, batches, video_segments
from metrics.synchformer.mel import normalised_log_mel
from metrics.synchformer.network import OFFSETS_S, Synchformer, load_synchformer

WHAT = "Synchformer's weights (synchformer_state_dict.pth, as MMAudio and av-benchmark publish it)"
_PROTOCOL = (
    "Seconds without sign: Synchformer's most likely of 21 offsets from -2 to 2 s, mean of the first and the last 14 "
    "segments (4.8 s each); 25 fps, bicubic short side 224, centre crop; 16 kHz, 128 HTK mel bands; segments last "
    "0.64 s and overlap by half, those of a shorter clip are repeated."
)


def windows(features: Tensor) -> Tensor:
    """The first and the last 14 segments: (S, tokens, D) -> (2, 14, tokens, D); fewer are repeated from the start."""
    repeats = math.ceil(SEGMENTS / len(features))
    whole = features.repeat(repeats, 1, 1)[:SEGMENTS] if repeats > 1 else features
    return torch.stack([whole[:SEGMENTS], whole[-SEGMENTS:]])


def compared(segments: Tensor) -> Tensor:
    """The segments that ``windows`` keeps of a long clip: (S, ...) -> (at most 28, ...)."""
    return segments if len(segments) <= 2 * SEGMENTS else torch.cat([segments[:SEGMENTS], segments[-SEGMENTS:]])


@torch.inference_mode()
def offsets_s(network: Synchformer, clip: Clip, segments_at_once: int = 2) -> tuple[float, float] | None:
    """The most likely offset in seconds of the beginning and of the end of a clip.

    Args:
        network: The network; its inputs follow its device and type.
        clip: Any rate and size.
        segments_at_once: Segments that the encoders are given at a time; a matter of memory.

    Returns:
        Two of ``OFFSETS_S``; None if picture or sound is shorter than a segment.
    """
    frames, samples = video_segments(clip), audio_segments(clip)
    together = min(len(frames), len(samples))
    if not together:
        return None
    weight = network.vproj.weight
    pieces = batches(compared(frames[:together]), segments_at_once, weight.device, weight.dtype)
    seen = torch.cat([network.see(piece) for piece in pieces])
    mels = normalised_log_mel(compared(samples[:together])).to(weight.device, weight.dtype)
    heard = torch.cat([network.hear(piece) for piece in mels.split(segments_at_once)])
    likely = network.compare(windows(seen), windows(heard)).float().argmax(dim=-1).tolist()
    return OFFSETS_S[likely[0]], OFFSETS_S[likely[1]]


class DeSync(ClipMetric):
    """Mean absolute offset by Synchformer.

    Args:
        weights: Path of ``synchformer_state_dict.pth``; without it the metric is not run.
        segments_at_once: Segments that the encoders are given at a time: about 0.15 GB each in fp32.
        runtime: Where the network runs, and how precisely.
    """

    def __init__(
        self,
        weights: str | None = None,
        segments_at_once: int = 2,
        runtime: Runtime = Runtime(),
    ) -> None:
        self.measures = (
            Measure(
                "desync",
                "lower",
                _PROTOCOL,
                unit="s",
                digits=3,
                title="DeSync",
                detector="Synchformer (Iashin et al. 2024)",
                checkpoint=name_of(weights),
            ),
        )
        super().__init__()
        self.weights, self.segments_at_once, self.runtime = weights, segments_at_once, runtime

    def missing(self) -> str | None:
        """See the base."""
        return absent(self.weights, WHAT)

    def measure(self, clip: Clip, case: BenchCase) -> dict[str, float | Score]:
        """See ``offsets_s``; a clip shorter than a segment is excluded."""
        network = shared(load_synchformer, self.weights, self.runtime)
        found = offsets_s(network, clip, self.segments_at_once)
        if found is None:
            return {"desync": Score.none(f"shorter than {SEGMENT_S:.2f} s")}
        return {"desync": (abs(found[0]) + abs(found[1])) / 2}
