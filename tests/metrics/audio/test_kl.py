import math

import pytest
import torch

from data.media import encode_flac, encode_mp4
from harmony_lit.containers import Clip
from harmony_lit.errors import UserError
from metrics.audio.kl import KLDivergence, divergence
from metrics.audio.network import Heard, SoundNetwork
from metrics.audio.vggish import VGGish
from metrics.bench.cases import BenchCase


class Loudness(SoundNetwork):
    """Two classes: loud and quiet."""

    title, published, classes = "loudness", "nothing", 2

    def missing(self):
        return None

    def hear(self, waveform):
        if len(waveform) < 1600:
            return Heard(torch.zeros(0, 1))
        level = waveform.std() * 20
        return Heard(level[None, None], torch.stack([level, 2 - level]))


def clip(level, samples=16_000):
    audio = level * torch.randn(samples, generator=torch.Generator().manual_seed(0)).clamp(-3, 3)
    return Clip(torch.zeros(max(1, samples // 640), 3, 16, 16, dtype=torch.uint8), audio, 25.0, 16_000)


@pytest.fixture
def case(tmp_path):
    truth = clip(0.1)
    (tmp_path / "truth.flac").write_bytes(encode_flac(truth.audio, 16_000))
    (tmp_path / "truth.mp4").write_bytes(encode_mp4(truth))
    return BenchCase("k", "ambient", truth=str(tmp_path / "truth.mp4"))


def slow_divergence(logits, truth):
    """The sum over classes, from the exponentials up."""
    q, p = ([math.exp(x) / sum(map(math.exp, row)) for x in row] for row in (logits.tolist(), truth.tolist()))
    return sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))


def test_divergence_is_that_of_the_truth_to_the_clip():
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        logits, truth = 3 * torch.randn(2, 527, generator=generator)
        assert divergence(logits, truth) == pytest.approx(slow_divergence(logits, truth), rel=1e-5)
    sure, unsure = torch.tensor([5.0, 0.0]), torch.zeros(2)
    assert divergence(unsure, sure) != pytest.approx(divergence(sure, unsure), rel=0.1)
    assert divergence(sure, sure) == 0.0


def test_a_clip_like_its_truth_is_near_it_and_another_far(case):
    metric = KLDivergence(Loudness())
    same, other = (metric.measure(clip(level), case)["kl"] for level in (0.1, 0.02))
    assert same == pytest.approx(0, abs=1e-4) and other > 0.5


def test_cases_without_a_truth_are_left_out_and_sounds_too_short_counted(case):
    metric = KLDivergence(Loudness(), key="kl_loud")
    assert metric.measure(clip(0.1), BenchCase("k", "ambient")) == {}
    metric.update(clip(0.1, samples=800), case)
    assert float(metric.excluded()["kl_loud"]) == 1 and metric.measures[0].title == "KL-LOUD"


def test_a_network_without_classes_is_refused():
    with pytest.raises(UserError, match="KL needs a network with classes, such as PANNs or AST, not VGGish"):
        KLDivergence(VGGish())
