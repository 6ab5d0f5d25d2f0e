import dataclasses

import cv2
import librosa
import numpy as np
import pytest
import torch

from data.world import WorldConfig
from data.world.cast import SPEAKERS
from metrics.world.check import check_detectors, true_clips
from metrics.world.hearing import audible_events, speech_pitch_hz
from metrics.world.seeing import mouth_opening, visual_events


@pytest.fixture(scope="module")
def pairs():
    return true_clips(24)


def blurred(clip, seed=0):
    """About what an autoencoder does: soft pixels with noise, and sound whose phases were guessed."""
    rng = np.random.default_rng(seed)
    frames = [cv2.GaussianBlur(frame, (0, 0), 1.2) for frame in clip.video.permute(0, 2, 3, 1).numpy()]
    video = np.clip(np.stack(frames) + rng.normal(0, 8, (len(frames), *frames[0].shape)), 0, 255).astype(np.uint8)
    magnitude = np.abs(librosa.stft(clip.audio.numpy(), n_fft=1024, hop_length=256))
    audio = librosa.griffinlim(magnitude, n_iter=12, hop_length=256, length=len(clip.audio), random_state=seed)
    video = torch.from_numpy(np.ascontiguousarray(video.transpose(0, 3, 1, 2)))
    return dataclasses.replace(clip, video=video, audio=torch.from_numpy(audio.astype(np.float32)))


def assert_finds_the_truth(check):
    assert check.seen_f1 > 0.95
    assert check.heard_f1 > 0.95
    assert check.event_f1 > 0.93
    assert check.lip_corr > 0.75
    assert check.caption_accuracy > 0.95
    assert check.lag_s < 0.03


def test_detectors_find_the_truth_in_mp4s_and_no_agreement_among_strangers(pairs):
    check = check_detectors(pairs)
    assert_finds_the_truth(check)
    assert check.event_f1_shuffled < 0.3
    assert check.lip_corr_shuffled < 0.35
    assert check.lag_s_shuffled > 0.1


def test_detectors_find_the_truth_in_blurred_clips(pairs):
    assert_finds_the_truth(check_detectors([(blurred(clip), note) for clip, note in pairs]))


def test_events_are_placed_without_bias(pairs):
    for detector in (visual_events, audible_events):
        errors_s = []
        for clip, note in pairs:
            truth_s = [event["time_s"] for event in note.events]
            found_s = detector(clip)
            if note.category != "speech" and len(found_s) == len(truth_s):
                errors_s += list(found_s - truth_s)
        assert abs(np.mean(errors_s)) < 0.01
        assert np.std(errors_s) < 0.02


def test_the_mouth_that_is_seen_is_the_mouth_that_was_drawn(pairs):
    for clip, note in pairs:
        if note.category != "ambient":
            assert np.corrcoef(mouth_opening(clip), note.attributes["mouth"])[0, 1] > 0.85


def test_voices_have_the_pitch_that_tells_them_apart(pairs):
    for clip, note in pairs:
        if note.category == "speech":
            assert speech_pitch_hz(clip, np.zeros(0)) == pytest.approx(SPEAKERS[note.speaker].pitch_hz, rel=0.12)


def test_nothing_is_seen_to_strike_where_somebody_only_talks(pairs):
    assert all(len(visual_events(clip)) == 0 for clip, note in pairs if note.category == "speech")


@pytest.mark.slow
@pytest.mark.parametrize("size", [64, 128])
def test_bounds_hold_over_many_clips(size):
    check = check_detectors(true_clips(180, WorldConfig(size=size)))
    assert_finds_the_truth(check)
    assert check.event_f1_shuffled <= 0.22
    assert check.lip_corr_shuffled < 0.35
