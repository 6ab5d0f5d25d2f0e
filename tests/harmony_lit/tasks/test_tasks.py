"""Tasks, mixtures and timesteps against the equations of Sec. 3.3 written out."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from harmony_lit.containers import Prediction
from harmony_lit.flow import shift_time
from harmony_lit.tasks import (
    AudioDriven,
    AudioOnly,
    IndependentTimesteps,
    Joint,
    LogitNormal,
    Noise,
    SampledTask,
    SharedTimesteps,
    SumOfTasks,
    Timesteps,
    Uniform,
    VideoDriven,
)
from tests.harmony_lit.builders import make_batch, make_model


class Recorder:
    """A network that remembers its inputs and predicts fixed values."""

    def __init__(self, batch):
        g = torch.Generator().manual_seed(7)
        self.video = torch.randn(batch.video.x.shape, generator=g)
        self.audio = torch.randn(batch.audio.x.shape, generator=g)
        self.calls = []

    def __call__(self, video, audio, t_video, t_audio, conditions):
        self.calls.append((video, audio, t_video, t_audio))
        return Prediction(None if video is None else self.video, self.audio)


@pytest.fixture
def setting():
    batch = make_batch((5, 3), (18, 11))
    g = torch.Generator().manual_seed(5)
    noise = Noise(
        torch.randn(batch.video.x.shape, generator=g),
        torch.randn(batch.audio.x.shape, generator=g),
        Timesteps(torch.tensor([0.2, 0.9]), torch.tensor([0.6, 0.4])),
    )
    return batch, noise, Recorder(batch)


def video_loss_slowly(batch, noise, prediction, row):
    total, count = 0.0, 0
    for frame in range(int(batch.video.lengths[row])):
        if frame == 0 and batch.conditions.has_image[row]:
            continue
        target = noise.video[row, :, frame] - batch.video.x[row, :, frame]
        for value in (prediction[row, :, frame] - target).flatten():
            total, count = total + float(value) ** 2, count + 1
    return total / count


def audio_loss_slowly(batch, noise, prediction, row):
    total, count = 0.0, 0
    for latent in range(int(batch.audio.lengths[row])):
        target = noise.audio[row, :, latent] - batch.audio.x[row, :, latent]
        for value in prediction[row, :, latent] - target:
            total, count = total + float(value) ** 2, count + 1
    return total / count


def test_joint_noises_both_and_learns_both(setting):
    batch, noise, network = setting
    loss = Joint()(network, batch, noise)
    ((video, audio, t_video, t_audio),) = network.calls
    for row in range(2):
        s_v, s_a = noise.sigma.video[row], noise.sigma.audio[row]
        torch.testing.assert_close(video.x[row], (1 - s_v) * batch.video.x[row] + s_v * noise.video[row])
        torch.testing.assert_close(audio.x[row], (1 - s_a) * batch.audio.x[row] + s_a * noise.audio[row])
        assert loss.video[row].item() == pytest.approx(video_loss_slowly(batch, noise, network.video, row), rel=1e-5)
        assert loss.audio[row].item() == pytest.approx(audio_loss_slowly(batch, noise, network.audio, row), rel=1e-5)
    assert torch.equal(t_video, noise.sigma.video) and torch.equal(t_audio, noise.sigma.audio)


def test_audio_driven_gives_clean_audio_at_zero_and_learns_video_alone(setting):
    batch, noise, network = setting
    loss = AudioDriven()(network, batch, noise)
    ((video, audio, t_video, t_audio),) = network.calls
    assert torch.equal(audio.x, batch.audio.x) and not t_audio.any()
    assert not torch.equal(video.x, batch.video.x) and torch.equal(t_video, noise.sigma.video)
    assert loss.audio is None and loss.video is not None


def test_video_driven_gives_clean_video_at_zero_and_learns_audio_alone(setting):
    batch, noise, network = setting
    loss = VideoDriven()(network, batch, noise)
    ((video, audio, t_video, t_audio),) = network.calls
    assert torch.equal(video.x, batch.video.x) and not t_video.any()
    assert not torch.equal(audio.x, batch.audio.x) and torch.equal(t_audio, noise.sigma.audio)
    assert loss.video is None and loss.audio is not None


def with_anchors(batch, noise):
    silence = torch.randn(batch.audio.x.shape[1:], generator=torch.Generator().manual_seed(8))
    return replace(batch, silence=silence), replace(noise, anchored=torch.tensor([0.3, 0.1]))


def test_driven_tasks_give_the_anchor_to_their_share_of_the_samples(setting):
    batch, noise, network = setting
    batch, noise = with_anchors(batch, noise)
    loss = AudioDriven(mute=0.2)(network, batch, noise)
    VideoDriven(static=0.2)(network, batch, noise)
    (video, audio, _, t_audio), (still, _, t_still, _) = network.calls
    assert torch.equal(audio.x[0], batch.audio.x[0]) and torch.equal(still.x[0], batch.video.x[0])
    assert torch.equal(audio.x[1], batch.silence) and not t_audio.any() and not t_still.any()
    for frame in range(still.x.shape[2]):
        assert torch.equal(still.x[1, :, frame], batch.video.x[1, :, 0])
    # What is to be learned stays the clip's own.
    assert loss.video[1].item() == pytest.approx(video_loss_slowly(batch, noise, network.video, 1), rel=1e-5)
    assert not torch.equal(video.x[1], still.x[1])


def test_without_a_draw_or_a_share_every_driver_is_given_as_it_is(setting):
    batch, noise, network = setting
    batch, noise = with_anchors(batch, noise)
    AudioDriven()(network, batch, noise)
    AudioDriven(mute=1.0)(network, batch, replace(noise, anchored=None))
    VideoDriven(static=1.0)(network, batch, replace(noise, anchored=None))
    (_, first, _, _), (_, second, _, _), (still, _, _, _) = network.calls
    assert torch.equal(first.x, batch.audio.x) and torch.equal(second.x, batch.audio.x)
    assert torch.equal(still.x, batch.video.x)


def test_anchors_say_what_they_need(setting):
    batch, noise, network = setting
    with pytest.raises(ValueError, match=r"mute is a share of the samples, from 0 to 1, not 1\.5"):
        AudioDriven(mute=1.5)
    with pytest.raises(ValueError, match="encoding of silence"):
        AudioDriven(mute=0.5)(network, batch, replace(noise, anchored=torch.zeros(2)))


def test_audio_only_leaves_the_video_out(setting):
    batch, noise, network = setting
    loss = AudioOnly()(network, batch, noise)
    assert network.calls[0][0] is None and loss.video is None


def test_the_sum_is_joint_plus_lambda_v_and_lambda_a(setting):
    batch, noise, network = setting
    tasks = {"j": Joint(), "a": AudioDriven(), "v": VideoDriven()}
    total = SumOfTasks(tasks)(network, batch, noise, 0, torch.Generator()).total
    video = sum(video_loss_slowly(batch, noise, network.video, r) for r in range(2)) / 2
    audio = sum(audio_loss_slowly(batch, noise, network.audio, r) for r in range(2)) / 2
    assert total.item() == pytest.approx((video + audio) + 0.1 * video + 0.3 * audio, rel=1e-5)


def test_a_sampled_task_has_the_sums_expectation(setting):
    batch, noise, network = setting
    tasks = {"j": Joint(), "a": AudioDriven(), "v": VideoDriven()}
    mixture = SampledTask(tasks, probabilities={"j": 0.5, "a": 0.2, "v": 0.3})
    outcomes = {}
    g = torch.Generator().manual_seed(0)
    counts = dict.fromkeys(tasks, 0)
    for _ in range(3000):
        ((name, factor),) = mixture.choose(0, g).items()
        counts[name] += 1
        outcomes[name] = factor
    for name, chance in (("j", 0.5), ("a", 0.2), ("v", 0.3)):
        assert counts[name] / 3000 == pytest.approx(chance, abs=0.04)
        assert chance * outcomes[name] == pytest.approx(tasks[name].weight)


def test_a_task_takes_part_from_its_start_step():
    mixture = SumOfTasks({"j": Joint(), "a": AudioDriven(start_step=10)})
    assert set(mixture.choose(9, torch.Generator())) == {"j"}
    assert set(mixture.choose(10, torch.Generator())) == {"j", "a"}
    with pytest.raises(ValueError, match="none has started"):
        SumOfTasks({"a": AudioDriven(start_step=10)}).choose(0, torch.Generator())


def test_a_joint_task_on_audio_only_data_is_refused(setting):
    batch, noise, network = setting
    with pytest.raises(ValueError, match="needs video latents"):
        Joint()(network, make_audio_only(batch), noise)


def make_audio_only(batch):
    return replace(batch, video=None)


def test_shared_timesteps_come_from_one_t_and_independent_ones_do_not():
    shared = SharedTimesteps(video_shift=5, audio_shift=2)(64, torch.Generator().manual_seed(0))
    t = shared.video / (5 - 4 * shared.video)
    torch.testing.assert_close(shared.audio, shift_time(t, 2.0))
    free = IndependentTimesteps()(512, torch.Generator().manual_seed(0))
    correlation = torch.corrcoef(torch.stack([free.video, free.audio]))[0, 1]
    assert correlation.abs() < 0.2


def test_the_shift_is_the_papers():
    assert shift_time(0.5, 5.0) == pytest.approx(5 * 0.5 / (1 + 4 * 0.5))
    assert shift_time(0.0, 5.0) == 0 and shift_time(1.0, 5.0) == 1


@pytest.mark.parametrize("distribution", [Uniform(stratified=True), LogitNormal(stratified=True)])
def test_stratified_times_fill_every_quantile(distribution):
    t = distribution(100, torch.Generator().manual_seed(0))
    u = t if isinstance(distribution, Uniform) else torch.special.ndtr(torch.logit(t))
    assert sorted((u * 100).floor().int().tolist()) == list(range(100))


def test_every_parameter_learns_under_cross_task_synergy():
    batch, model = make_batch(), make_model()
    g = torch.Generator().manual_seed(0)
    noise = Noise(torch.randn(batch.video.x.shape), torch.randn(batch.audio.x.shape), SharedTimesteps()(2, g))
    SumOfTasks({"j": Joint(), "a": AudioDriven(), "v": VideoDriven()})(model, batch, noise, 0, g).total.backward()
    silent = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert not silent
