"""IQ: are the frames technically clean (sharp, well exposed, free of noise)? MUSIQ, VBench's imaging quality.

MUSIQ comes with pyiqa, whose licence is non-commercial: it is the user's to install, with the weights.

Shape legend: N frames, H W rows and columns.
"""

from __future__ import annotations

import importlib
import pickle
from typing import Any

import torch
from torch import Tensor

from harmony_lit.containers import Clip
from harmony_lit.errors import UserError
from metrics.base import ClipMetric, Measure
from metrics.bench.cases import BenchCase
from metrics.networks import Runtime, absent, absent_package, name_of, shared
from metrics.picture.frames import batches, long_side_to, resize_unfiltered


def musiq_pixels(frames: Tensor, long_side: int = 512) -> Tensor:
    """(N, 3, H, W) uint8 in [0, 1], float, the long side made at most ``long_side``, bilinear without antialiasing."""
    size = long_side_to(long_side, *frames.shape[-2:])
    return (frames.float() if size == tuple(frames.shape[-2:]) else resize_unfiltered(frames, size, "bilinear")) / 255


class ImagingQuality(ClipMetric):
    """IQ: the mean MUSIQ score of the frames, divided by a hundred.

    Args:
        weights: Path of ``musiq_spaq_ckpt-358bb6af.pth``, trained on SPAQ.
        long_side: Larger frames are made smaller; VBench takes 512.
        stride: Looks at every n-th frame only; VBench looks at all.
        runtime: Where and how precisely it runs.
    """

    def __init__(
        self,
        weights: str | None = None,
        long_side: int = 512,
        stride: int = 1,
        runtime: Runtime = Runtime(),
    ) -> None:
        self.weights, self.long_side, self.stride, self.runtime = weights, long_side, stride, runtime
        seen = "all frames" if stride == 1 else f"1 frame in {stride}"
        self.measures = (
            Measure(
                "iq",
                "higher",
                f"Mean MUSIQ score of {seen}, long side at most {long_side} without antialiasing, divided by 100 "
                "(VBench's imaging quality).",
                digits=3,
                title="IQ",
                detector=f"MUSIQ trained on SPAQ (pyiqa), {runtime.precision}",
                checkpoint=name_of(weights),
            ),
        )
        super().__init__()

    def missing(self) -> str | None:
        """Pyiqa, if it is absent or does not import, or the weights."""
        why = absent_package("pyiqa", "pip install pyiqa; non-commercial licence") or absent(
            self.weights, "MUSIQ's weights (musiq_spaq_ckpt-358bb6af.pth of chaofengc/IQA-PyTorch)"
        )
        if why is None:
            try:
                importlib.import_module("pyiqa")
            except Exception as error:  # it imports much, each part of which has its own ways to fail
                return f"the package pyiqa, which does not import here ({error})"
        return why

    @torch.inference_mode()
    def measure(self, clip: Clip, case: BenchCase) -> dict[str, float]:
        """See the class."""
        network = shared(_load_musiq, self.weights, self.runtime)
        device, dtype = self.runtime.torch_device, self.runtime.dtype
        scores = []
        for frame in batches(clip.video, self.stride, 1):
            with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
                scores.append(float(network(musiq_pixels(frame.to(device), self.long_side))))
        return {"iq": sum(scores) / len(scores) / 100}


def _load_musiq(weights: str, runtime: Runtime) -> Any:
    pyiqa = importlib.import_module("pyiqa")
    try:
        return pyiqa.create_metric("musiq-spaq", device=runtime.torch_device, pretrained_model_path=weights)
    except (RuntimeError, OSError, pickle.UnpicklingError) as error:
        raise UserError(f"{weights} does not fit pyiqa's MUSIQ: {str(error).strip().splitlines()[0]}") from error
