"""Guidance against the equations of Sec. 3.4, with a denoiser that depends on everything it is given."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from harmony_lit.containers import Prediction
from harmony_lit.guidance import Anchors, GuidanceState, Interval, ModalityCFG, NoGuidance, SyncCFG
from tests.harmony_lit.builders import make_batch


class Denoiser:
    """Each output depends on both inputs, both times and the captions; calls are counted."""

    def __init__(self):
        self.calls = 0

    def __call__(self, video, audio, t_video, t_audio, conditions):
        self.calls += 1
        mixed = video.x.mean(dim=(1, 2, 3, 4)) + 2 * audio.x.mean(dim=(1, 2)) + 3 * t_video + 5 * t_audio
        mixed = mixed + conditions.video_caption.x.sum(dim=(1, 2))
        return Prediction(
            torch.sin(video.x + mixed[:, None, None, None, None]), torch.cos(audio.x + mixed[:, None, None])
        )


@pytest.fixture
def state():
    batch = make_batch()
    g = torch.Generator().manual_seed(2)
    conditions = batch.conditions
    empty = replace(conditions, video_caption=replace(conditions.video_caption, x=conditions.video_caption.x * 0))
    anchors = Anchors(
        mute=batch.audio.with_x(torch.randn(batch.audio.x.shape, generator=g)),
        static=batch.video.with_x(torch.randn(batch.video.x.shape, generator=g)),
        empty=empty,
    )
    sigma = torch.tensor([0.7, 0.7])
    return GuidanceState(batch.video, batch.audio, sigma, sigma, conditions, anchors)


def test_sync_cfg_is_the_published_equation(state):
    f, zero = Denoiser(), torch.zeros(2)
    j = f(state.video, state.audio, state.t_video, state.t_audio, state.conditions)
    static = torch.empty_like(state.video.x)
    for row in range(2):
        for frame in range(static.shape[2]):
            estimate = state.video.x[row, :, 0] - 0.7 * j.video[row, :, 0]
            given = state.anchors.static.x[row, :, frame]
            static[row, :, frame] = given if state.conditions.has_image[row] else estimate
    d_v = f(state.video, state.anchors.mute, state.t_video, zero, state.conditions).video
    d_a = f(state.video.with_x(static), state.audio, zero, state.t_audio, state.conditions).audio
    guided = SyncCFG(3.0, 2.0)(Denoiser(), state)
    torch.testing.assert_close(guided.video, d_v + 3.0 * (j.video - d_v), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(guided.audio, d_a + 2.0 * (j.audio - d_a), atol=1e-5, rtol=1e-5)


def test_text_guidance_on_top_adds_its_own_term(state):
    f = Denoiser()
    j = f(state.video, state.audio, state.t_video, state.t_audio, state.conditions)
    u = f(state.video, state.audio, state.t_video, state.t_audio, state.anchors.empty)
    plain, more = SyncCFG()(Denoiser(), state), SyncCFG(text_scale=1.5)(Denoiser(), state)
    torch.testing.assert_close(more.video - plain.video, 0.5 * (j.video - u.video))
    torch.testing.assert_close(more.audio - plain.audio, 0.5 * (j.audio - u.audio))


def test_modality_cfg_scales_each_modality(state):
    f = Denoiser()
    j = f(state.video, state.audio, state.t_video, state.t_audio, state.conditions)
    u = f(state.video, state.audio, state.t_video, state.t_audio, state.anchors.empty)
    guided = ModalityCFG(4.0, 3.0)(Denoiser(), state)
    torch.testing.assert_close(guided.video, u.video + 4 * (j.video - u.video))
    torch.testing.assert_close(guided.audio, u.audio + 3 * (j.audio - u.audio))


@pytest.mark.parametrize("guidance", [NoGuidance(), ModalityCFG(), SyncCFG(), SyncCFG(text_scale=2.0)])
@pytest.mark.parametrize("given", [{}, {"video_given": True}, {"audio_given": True}])
def test_the_stated_model_calls_are_those_made(state, guidance, given):
    denoiser = Denoiser()
    guidance(denoiser, replace(state, **given))
    assert denoiser.calls == guidance.model_calls(**given)


def test_outside_the_interval_the_plain_prediction_is_followed(state):
    guidance, denoiser = SyncCFG(interval=Interval(0.8, 1.0)), Denoiser()
    assert torch.equal(guidance(denoiser, state).video, NoGuidance()(Denoiser(), state).video)
    assert denoiser.calls == guidance.calls_at(0.7) == 1
    assert guidance.calls_at(0.9) == 3
    # Both ends belong to it: sampling begins at sigma 1.
    assert guidance.calls_at(0.8) == guidance.calls_at(1.0) == 3


def test_an_interval_that_is_none_is_refused():
    with pytest.raises(ValueError, match="0 <= low <= high <= 1"):
        Interval(0.9, 0.1)
