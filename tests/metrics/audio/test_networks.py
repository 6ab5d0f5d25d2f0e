"""Front ends against slow references; networks of full size with random weights, saved in the published layout."""

import librosa
import numpy as np
import pytest
import torch
from transformers import ASTConfig, ASTFeatureExtractor, ASTForAudioClassification

from data.media import encode_flac, encode_mp4
from harmony_lit.containers import Clip
from harmony_lit.errors import UserError
from metrics.audio import panns, vggish
from metrics.audio.frechet import FrechetDistance
from metrics.audio.kl import KLDivergence
from metrics.audio.network import Heard, hear_clip
from metrics.audio.panns import PANNs
from metrics.audio.spectrogram_transformer import AST
from metrics.audio.vggish import VGGish
from metrics.bench.cases import BenchCase
from metrics.networks import forget_shared


@pytest.fixture(autouse=True)
def memory():
    """Networks of hundreds of megabytes do not outlive their test."""
    yield
    forget_shared()


def noise(seed=0, samples=20_000):
    return 0.1 * torch.randn(samples, generator=torch.Generator().manual_seed(seed)).clamp(-3, 3)


def clip(seed=0):
    audio = noise(seed)
    return Clip(torch.zeros(31, 3, 16, 16, dtype=torch.uint8), audio, 25.0, 16_000)


@pytest.fixture
def case(tmp_path):
    (tmp_path / "truth.flac").write_bytes(encode_flac(clip(9).audio, 16_000))
    (tmp_path / "truth.mp4").write_bytes(encode_mp4(clip(9)))
    return BenchCase("k", "ambient", truth=str(tmp_path / "truth.mp4"))


def published_panns(folder):
    """A file with the 84 names of ``Cnn14_16k_mAP=0.438.pth``, which also holds the matrices of its front end."""
    torch.manual_seed(0)
    state = panns.Cnn14().state_dict()
    state["spectrogram_extractor.stft.conv_real.weight"] = torch.zeros(257, 1, 512)
    state["spectrogram_extractor.stft.conv_imag.weight"] = torch.zeros(257, 1, 512)
    state["logmel_extractor.melW"] = torch.zeros(257, 64)
    assert len(state) == 84
    torch.save({"iteration": 1, "model": state}, folder / "cnn14.pth")
    return str(folder / "cnn14.pth")


@pytest.fixture(scope="module")
def published_vggish(tmp_path_factory):
    path = tmp_path_factory.mktemp("vggish") / "vggish.pth"
    torch.manual_seed(0)
    torch.save(vggish.VGGishNetwork().state_dict(), path)
    return str(path)


def published_ast(folder):
    torch.manual_seed(0)
    config = ASTConfig(hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64, num_labels=527)
    ASTForAudioClassification(config).save_pretrained(folder / "ast")
    ASTFeatureExtractor().save_pretrained(folder / "ast")
    return str(folder / "ast")


def test_the_bands_of_panns_are_librosas_in_decibels():
    power = librosa.feature.melspectrogram(
        y=noise().numpy(), sr=16_000, n_fft=512, hop_length=160, n_mels=64, fmin=50, fmax=8_000, pad_mode="reflect"
    )
    expected = librosa.power_to_db(power, ref=1.0, amin=1e-10, top_db=None)
    np.testing.assert_allclose(panns.log_mel(noise()).numpy(), expected.T, atol=1e-3)
    assert panns.log_mel(torch.zeros(3200)).eq(-100).all()


def test_the_examples_of_vggish_are_whole_and_their_bands_straight_on_the_mel_axis():
    def mel(hz):
        return 1127 * np.log(1 + hz / 700)

    samples = noise(samples=16_000 * 2).double().numpy()
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400)
    frames = np.stack([samples[i : i + 400] * window for i in range(0, len(samples) - 399, 160)])
    edges, bins = np.linspace(mel(125), mel(7500), 66), mel(np.linspace(0, 8000, 257))
    bands = [
        np.clip(np.minimum((bins - low) / (peak - low), (high - bins) / (high - peak)), 0, None)
        for low, peak, high in zip(edges, edges[1:], edges[2:], strict=False)
    ]
    expected = np.log(np.abs(np.fft.rfft(frames, 512)) @ np.array(bands).T + 0.01)
    cut = vggish.examples(torch.from_numpy(samples).float())
    assert cut.shape == (2, 96, 64) and len(frames) == 198
    np.testing.assert_allclose(cut.reshape(-1, 64).numpy(), expected[:192], atol=1e-5)
    assert len(vggish.examples(noise(samples=300))) == len(vggish.examples(noise(samples=15_000))) == 0


def test_fd_and_kl_run_end_to_end_with_a_randomly_initialised_cnn14(tmp_path, case):
    network = PANNs(published_panns(tmp_path))
    distance, kl = FrechetDistance(network), KLDivergence(PANNs(network.weights))
    pair = distance.features(clip(), case)
    assert pair.clip.shape == pair.truth.shape == (1, 2048) and (pair.clip != pair.truth).any()
    assert kl.measure(clip(), case)["kl"] > 0
    assert len(network.hear(noise(samples=4_000)).features) == 0
    assert network.checkpoint.startswith("cnn14.pth sha256:")


def test_fad_runs_end_to_end_with_a_randomly_initialised_vggish(published_vggish, case):
    metric = FrechetDistance(VGGish(published_vggish), key="fad")
    for seed in range(3):
        metric.update(clip(seed), case)
    assert metric.features(clip(), case).clip.shape == (1, 128)
    assert float(metric.compute()["fad"]) > 0


def test_fd_and_kl_run_end_to_end_with_a_randomly_initialised_ast(tmp_path, case):
    network = AST(published_ast(tmp_path))
    metric = FrechetDistance(network)
    for seed in range(3):
        metric.update(clip(seed), case)
    assert float(metric.compute()["fd"]) > 0
    heard = hear_clip(clip(), network)
    assert heard.features.shape == (1, 32) and heard.logits.shape == (527,)
    assert KLDivergence(network).measure(clip(), case)["kl"] > 0


def test_a_clip_and_a_truth_are_heard_once_by_equal_networks(tmp_path, case, monkeypatch):
    heard = []
    monkeypatch.setattr(
        AST, "hear", lambda self, waveform: heard.append(len(waveform)) or panns.Heard(torch.zeros(1, 2))
    )
    same = clip()
    for metric in (FrechetDistance(AST("x")), FrechetDistance(AST("x"), key="other")):
        metric.features(same, case)
    assert len(heard) == 2
    FrechetDistance(AST("y")).features(same, case)
    assert len(heard) == 4


def test_the_sound_is_freed_of_its_mean(monkeypatch):
    monkeypatch.setattr(AST, "hear", lambda self, waveform: Heard(waveform[None]))
    offset = Clip(clip().video, clip().audio + 0.25, 25.0, 16_000)
    assert hear_clip(offset, AST("x")).features.mean().abs() < 1e-6


def test_a_file_that_is_not_what_it_should_be_is_told(published_vggish):
    with pytest.raises(UserError, match=r"vggish\.pth do not fit the model: .* missing \(bn0"):
        PANNs(published_vggish).hear(noise())


def test_absent_weights_are_told(tmp_path):
    assert PANNs().missing() == "PANNs' weights (Cnn14_16k_mAP=0.438.pth, zenodo.org/records/3987831)"
    assert (
        FrechetDistance(VGGish(str(tmp_path / "no.pth")))
        .missing()
        .endswith("there is nothing at " + str(tmp_path / "no.pth"))
    )
    assert KLDivergence(AST(str(tmp_path / "none"))).missing().startswith("an AST of transformers")
