import math
import pickle

import pytest
import torch

from harmony_lit.containers import Clip
from metrics.bench.cases import BenchCase
from metrics.joint_embedding.imagebind import ImageBindText, ImageBindVideo
from metrics.networks import Runtime

CPU = Runtime("cpu")
DOG = BenchCase("k", "ambient", audio_caption="a dog barks")


def value(metric, clip, case=DOG):
    metric = pickle.loads(pickle.dumps(metric))
    assert metric.missing() is None
    metric.update(clip, case)
    (found,) = metric.compute().values()
    return float(found)


def test_ib_runs_end_to_end_with_randomly_initialised_imagebind(imagebind_weights, noise_clip):
    found = value(ImageBindVideo(imagebind_weights, CPU), noise_clip)
    assert -1 <= found <= 1
    black = Clip(torch.zeros_like(noise_clip.video), noise_clip.audio, noise_clip.fps, noise_clip.sample_rate_hz)
    assert value(ImageBindVideo(imagebind_weights, CPU), black) != pytest.approx(found, abs=1e-4)


def test_ib_a_runs_end_to_end_with_randomly_initialised_imagebind(imagebind_weights, clip_tokenizer, noise_clip):
    metric = ImageBindText(imagebind_weights, clip_tokenizer, CPU)
    found = value(metric, noise_clip)
    assert -1 <= found <= 1
    cat = BenchCase("k", "ambient", audio_caption="a cat purrs")
    assert value(metric, noise_clip, cat) != pytest.approx(found, abs=1e-4)


def test_a_case_without_an_audio_caption_has_no_ib_a(imagebind_weights, clip_tokenizer, noise_clip):
    assert ImageBindText(imagebind_weights, clip_tokenizer, CPU).measure(noise_clip, BenchCase("k", "speech")) == {}


def test_a_clip_without_sound_is_excluded(imagebind_weights, noise_clip):
    mute = Clip(noise_clip.video, torch.zeros(0), 30.0, 24_000)
    for metric in (ImageBindVideo(imagebind_weights, CPU), ImageBindText(imagebind_weights, runtime=CPU)):
        (score,) = metric.measure(mute, DOG).values()
        assert score.excluded and math.isnan(score.value)


def test_what_is_absent_is_told(imagebind_weights, tmp_path):
    assert "imagebind_huge.pth" in ImageBindVideo().missing()
    assert "imagebind_huge.pth" in ImageBindText().missing()
    assert "tokenizer of CLIP" in ImageBindText(imagebind_weights, str(tmp_path / "none")).missing()
