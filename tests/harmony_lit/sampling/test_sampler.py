from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from harmony_lit.containers import Prediction
from harmony_lit.flow import shift_time
from harmony_lit.guidance import Anchors, NoGuidance, SyncCFG
from harmony_lit.guidance.base import Interval
from harmony_lit.sampling import FlowEuler, FlowUniPC, Sampler, SampleRequest
from tests.harmony_lit.builders import make_batch, make_model


def make_request(lengths=((5, 18), (3, 11)), seeds=(1, 2), **given):
    batch = make_batch(tuple(v for v, _ in lengths), tuple(a for _, a in lengths))
    c = batch.conditions
    anchors = Anchors(batch.audio.with_x(batch.audio.x * 0), batch.video.with_x(batch.video.x * 0), c)
    return SampleRequest(batch.video, batch.audio, c, anchors, seeds, **given)


@pytest.mark.parametrize("solver", [FlowEuler(), FlowUniPC()])
def test_the_sigmas_are_the_shifted_line_from_one_to_zero(solver):
    sigmas = solver.start(10, 5.0).sigmas
    assert len(sigmas) == 11 and sigmas[-1] == 0
    if isinstance(solver, FlowEuler):
        expected = [shift_time(1 - i / 10, 5.0) for i in range(10)]
        assert sigmas[:-1] == pytest.approx(expected, abs=1e-6)


def test_euler_steps_are_the_equation():
    run = FlowEuler().start(4, 5.0)
    x = torch.randn(2, 3)
    v = torch.randn(2, 3)
    y = run.step(0, v, x)
    torch.testing.assert_close(y, x + (run.sigmas[1] - run.sigmas[0]) * v)
    torch.testing.assert_close(run.step(1, v, y), y + (run.sigmas[2] - run.sigmas[1]) * v)


@pytest.mark.parametrize("solver", [FlowEuler(), FlowUniPC()])
def test_a_perfect_model_leads_every_solver_to_the_data(solver):
    request = make_request()
    target = request.video.x.clone(), request.audio.x.clone()

    def denoise(video, audio, t_video, t_audio, conditions):
        return Prediction(
            (video.x - target[0]) / t_video.reshape(-1, 1, 1, 1, 1), (audio.x - target[1]) / t_audio.reshape(-1, 1, 1)
        )

    video, audio = Sampler(steps=8, guidance=NoGuidance(), solver=solver).sample(denoise, request)
    torch.testing.assert_close(video.x[1, :, :3], target[0][1, :, :3], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(audio.x[0], target[1][0], atol=1e-4, rtol=1e-4)


def test_a_sample_is_the_same_whatever_the_batch():
    model, sampler = make_model(), Sampler(steps=4)
    together = make_request()
    alone = replace(
        together,
        video=replace(together.video, x=together.video.x[1:, :, :3], lengths=together.video.lengths[1:]),
        audio=replace(together.audio, x=together.audio.x[1:, :, :11], lengths=together.audio.lengths[1:]),
        conditions=row_of(together.conditions, 1),
        anchors=Anchors(
            replace(together.anchors.mute, x=together.anchors.mute.x[1:, :, :11], lengths=together.audio.lengths[1:]),
            replace(
                together.anchors.static, x=together.anchors.static.x[1:, :, :3], lengths=together.video.lengths[1:]
            ),
            row_of(together.anchors.empty, 1),
        ),
        seeds=(2,),
    )
    both, one = sampler.sample(model, together), sampler.sample(model, alone)
    torch.testing.assert_close(both[0].x[1, :, :3], one[0].x[0], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(both[1].x[1, :, :11], one[1].x[0], atol=1e-4, rtol=1e-4)


def row_of(c, row):
    def text(value):
        return replace(value, **{name: field[row : row + 1] for name, field in vars(value).items()})

    return replace(
        c,
        video_caption=text(c.video_caption),
        audio_caption=text(c.audio_caption),
        transcript=text(c.transcript),
        reference_audio=replace(
            c.reference_audio,
            x=c.reference_audio.x[row : row + 1],
            lengths=c.reference_audio.lengths[row : row + 1],
        ),
        reference_image=c.reference_image[row : row + 1],
        has_image=c.has_image[row : row + 1],
    )


def test_what_drives_comes_back_unchanged_and_is_seen_clean():
    seen = []

    def denoise(video, audio, t_video, t_audio, conditions):
        seen.append((audio.x, t_audio))
        return Prediction(video.x * 0, audio.x * 0)

    request = make_request(audio_given=True)
    video, audio = Sampler(steps=3, guidance=NoGuidance()).sample(denoise, request)
    assert torch.equal(audio.x, request.audio.x)
    assert all(torch.equal(x, request.audio.x) and not t.any() for x, t in seen)
    assert torch.equal(video.x[0, :, 0], request.conditions.reference_image[0])


def test_two_drivers_at_once_are_refused():
    with pytest.raises(ValueError, match="not both"):
        make_request(audio_given=True, video_given=True)


def test_the_models_calls_are_known_before_sampling():
    calls = 0

    def denoise(video, audio, t_video, t_audio, conditions):
        nonlocal calls
        calls += 1
        return Prediction(video.x * 0, audio.x * 0)

    sampler = Sampler(steps=10, guidance=SyncCFG(interval=Interval(0.5, 1.0)))
    sampler.sample(denoise, make_request())
    assert calls == sampler.model_calls() and 10 < calls < 30
