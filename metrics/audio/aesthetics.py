"""PQ, PC, CE, CU: Audiobox-Aesthetics' quality, complexity, enjoyment and usefulness of a sound, each from 1 to 10.

Tjandra et al., "Meta Audiobox Aesthetics: Unified Automatic Quality Assessment for Speech, Music, and Sound", 2025.

Shape legend: S samples, B windows of W = 160,000 samples.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from harmony_lit.containers import Clip
from harmony_lit.errors import UserError
from harmony_lit.pretrained.load import load_pretrained
from harmony_lit.pretrained.source import open_weights
from metrics.base import ClipMetric, Direction, Measure, Score
from metrics.bench.cases import BenchCase
from metrics.networks import Runtime, absent_model, locate_model, name_of, shared
from metrics.rates import resampled

if TYPE_CHECKING:  # transformers' WavLM takes seconds to import, and a metric is built at once
    from metrics.audio.aesthetics_network import AestheticsNetwork

SAMPLE_RATE_HZ, WINDOW_S = 16_000, 10
WINDOW = SAMPLE_RATE_HZ * WINDOW_S
_WHAT = "Audiobox-Aesthetics' weights (facebook/audiobox-aesthetics, or its checkpoint.pt)"
_DIRECTIONS: dict[str, Direction] = {"PQ": "higher", "PC": "lower", "CE": "higher", "CU": "higher"}
Scale = Mapping[str, tuple[float, float]]
"""Mean and standard deviation of the ratings of each axis, in which the heads were trained."""


def windows(waveform: Tensor) -> tuple[Tensor, Tensor]:
    """(S,) -> (B, W) without overlap, the last one padded with silence, and the samples in each (B,)."""
    count = -(-len(waveform) // WINDOW)
    cut = F.pad(waveform, (0, count * WINDOW - len(waveform))).reshape(count, WINDOW)
    lengths = torch.full((count,), WINDOW)
    lengths[-1] = len(waveform) - (count - 1) * WINDOW
    return cut, lengths


def rate(waveform: Tensor, network: AestheticsNetwork, scale: Scale) -> dict[str, float]:
    """The four axes of ``waveform`` (S,) at 16 kHz: the mean over its windows, weighed by their samples."""
    cut, lengths = windows(waveform)
    weights = lengths.double() / lengths.sum()
    found = dict.fromkeys(scale, 0.0)
    parameter = next(network.parameters())
    for window, length, weight in zip(cut, lengths, weights, strict=True):
        scores = network(window[None].to(parameter), length[None].to(parameter.device))
        for axis, (mean, deviation) in scale.items():
            found[axis] += float(weight) * (float(scores[axis]) * deviation + mean)
    return found


class AudioboxAesthetics(ClipMetric):
    """Means over clips of the four axes.

    Args:
        weights: Hub id or folder of the published model, or the path of its ``checkpoint.pt``.
        runtime: Where and how precisely the network runs.
    """

    def __init__(
        self,
        weights: str | None = "facebook/audiobox-aesthetics",
        runtime: Runtime = Runtime(),
    ) -> None:
        self.weights, self.runtime = weights, runtime
        protocol = (
            f"Audiobox-Aesthetics {{}}, 1 to 10: {SAMPLE_RATE_HZ // 1000} kHz mono, windows of {WINDOW_S} s without "
            f"overlap, padding masked, weighed by duration, {runtime.precision}."
        )
        self.measures = tuple(
            Measure(
                axis.lower(),
                direction,
                protocol.format(axis),
                title=axis,
                detector="Audiobox-Aesthetics (WavLM base)",
                checkpoint=name_of(weights),
            )
            for axis, direction in _DIRECTIONS.items()
        )
        super().__init__()

    def missing(self) -> str | None:
        """See the base."""
        if self.weights is not None and Path(self.weights).is_file():
            return None
        return absent_model(self.weights, _WHAT)

    @torch.inference_mode()
    def measure(self, clip: Clip, case: BenchCase) -> Mapping[str, float | Score]:
        """The four axes of one clip."""
        waveform = resampled(clip.audio, clip.sample_rate_hz, SAMPLE_RATE_HZ)
        if not waveform.numel():
            return {measure.key: Score.none("no sound") for measure in self.measures}
        network, scale = shared(_load, self.weights, self.runtime)
        return {axis.lower(): value for axis, value in rate(waveform, network, scale).items()}


def _load(weights: str, runtime: Runtime) -> tuple[AestheticsNetwork, Scale]:
    from metrics.audio.aesthetics_network import LAYOUT, AestheticsNetwork, HeadConfig

    path = Path(weights) if Path(weights).is_file() else locate_model(weights)
    config = _config(path)
    try:
        scale = {axis: (float(to["mean"]), float(to["std"])) for axis, to in config["target_transform"].items()}
        network = AestheticsNetwork(HeadConfig.read(config))
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise UserError(f"{path} is not Audiobox-Aesthetics as published: its settings say {error}") from error
    load_pretrained(network, open_weights(path), LAYOUT)
    runtime.place(network)
    return network, scale


def _config(path: Path) -> dict[str, Any]:
    """Settings of a published model: ``config.json`` of a folder, ``model_cfg`` of a ``checkpoint.pt``.

    Raises:
        UserError: If there are none.
    """
    if path.is_dir():
        try:
            return json.loads((path / "config.json").read_text())
        except (OSError, ValueError):
            raise UserError(f"{path} has no readable config.json, which holds Audiobox-Aesthetics' scales") from None
    open_weights(path)  # tells what is wrong with a damaged file
    content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    if not {"model_cfg", "target_transform"} <= content.keys():
        raise UserError(f"{path} lacks model_cfg or target_transform; give Audiobox-Aesthetics' own checkpoint.pt")
    return {**content["model_cfg"], "target_transform": content["target_transform"]}
