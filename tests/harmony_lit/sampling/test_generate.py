"""Prompts become clips with the caption encoder out of the way."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from harmony_lit.encoders.hashing import HashTextEncoder
from harmony_lit.geometry import Geometry
from harmony_lit.sampling import Prompt, generate
from harmony_lit.system import System


class Encoder(HashTextEncoder):
    """Holds something from each caption until it is released."""

    held = False

    def encode(self, captions):
        self.held = True
        return super().encode(captions)

    def release(self):
        self.held = False


class Sampled(Exception):  # noqa: N818
    """The sampler was reached."""


def test_the_caption_encoder_is_released_before_the_model_runs():
    encoder, seen = Encoder(8), []

    def sample(denoise, request, on_step):
        seen.append((encoder.held, request.conditions.video_caption.x.shape))
        raise Sampled

    video = SimpleNamespace(channels=4, stride=(4, 16, 16))
    audio = SimpleNamespace(
        channels=5, hop=512, sample_rate_hz=16_000, encode=lambda x: torch.zeros(1, 5, x.shape[1] // 512)
    )
    system = System(Geometry(), video, audio, encoder)
    with pytest.raises(Sampled):
        list(generate(system, None, SimpleNamespace(sample=sample), [Prompt("rain", frames=5)]))
    assert seen == [(False, (1, 2, 8))]
