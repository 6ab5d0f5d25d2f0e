"""MMAudio's codec: numbers of diffusers' classes from every published layout, lengths, timing."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

from harmony_lit.codecs.base import AudioCodec
from harmony_lit.codecs.mmaudio import MMAUDIO, MMAudioCodec
from harmony_lit.codecs.statistics import LatentStatistics
from harmony_lit.experiment.nodes import build
from harmony_lit.geometry import Geometry
from harmony_lit.pretrained.mmaudio import MMAUDIO_LAYOUTS

RATES = ("16k", "44k")
SMALL = {
    rate: dataclasses.replace(MMAUDIO[rate], width=16, vocoder_width=16, upsampling=upsampling)
    for rate, upsampling in (("16k", (16, 16)), ("44k", (32, 16)))
}


def make_codec(rate: str = "16k", vae: str = "random", vocoder: str = "random", **settings) -> MMAudioCodec:
    return MMAudioCodec(vae, vocoder, **{"normalise": "none", "rate": SMALL[rate], **settings})


def make_sound(samples: int, batch: int = 1) -> torch.Tensor:
    return torch.randn(batch, samples, generator=torch.Generator().manual_seed(1)).mul(0.1).clamp(-1, 1)


def reference_vae(rate: str):
    """Diffusers' class with random weights and statistics of the mel bands."""
    from diffusers import MMAudioVAE

    sizes = SMALL[rate]
    torch.manual_seed(2)
    reference = MMAudioVAE(
        sizes.mel_bands,
        sizes.channels,
        sizes.width,
        sample_rate=sizes.sample_rate_hz,
        n_fft=sizes.window,
        hop_length=sizes.mel_hop,
    ).eval()
    reference.vae.data_mean.normal_(-2, 0.3)
    reference.vae.data_std.uniform_(0.5, 1.5)
    for side in (reference.vae.encoder, reference.vae.decoder):
        side.learnable_gain.data.fill_(0.3)
    return reference.requires_grad_(False)


def mel_of(reference, rate: str, sound: torch.Tensor) -> torch.Tensor:
    return reference.mel_converter(sound) / math.log(SMALL[rate].log_base)


def random_vocoder(rate: str):
    """Diffusers' class, with the bias that the vocoder for 16 kHz has and this class has not; tanh is left to do."""
    torch.manual_seed(3)
    sizes = SMALL[rate]
    vocoder = MMAudioCodec("random", "random", "none", dataclasses.replace(sizes, bounded=False)).new_vocoder().eval()
    for name, value in vocoder.named_parameters():
        if name.endswith(("alpha", "beta")):
            value.data.normal_(0, 0.3)
    if sizes.bounded:
        vocoder.conv_post = nn.Conv1d(vocoder.conv_post.in_channels, 1, 7, padding=3)
    return vocoder.requires_grad_(False)


def sound_of(vocoder, rate: str, mel: torch.Tensor) -> torch.Tensor:
    before_the_clamp = []
    hook = vocoder.conv_post.register_forward_hook(lambda module, args, out: before_the_clamp.append(out[:, 0]))
    vocoder(mel)
    hook.remove()
    return before_the_clamp[0].tanh() if rate == "16k" else before_the_clamp[0].clamp(-1, 1)


def convolutions(vocoder: nn.Module) -> list[nn.Module]:
    return [module for module in vocoder.modules() if isinstance(module, nn.Conv1d | nn.ConvTranspose1d)]


def test_implements_the_protocol():
    assert isinstance(make_codec(), AudioCodec)


@pytest.mark.parametrize(("rate", "hop", "latents_per_s"), [("16k", 512, 31.25), ("44k", 1024, 43.07)])
def test_rates(rate, hop, latents_per_s):
    codec = make_codec(rate)
    geometry = Geometry(sample_rate_hz=codec.sample_rate_hz, audio_hop=codec.hop)
    assert codec.hop == hop
    assert round(geometry.audio_rate_hz, 2) == latents_per_s
    assert math.prod(MMAUDIO[rate].upsampling) == MMAUDIO[rate].mel_hop


@pytest.mark.parametrize(("rate", "vae_mib", "vocoder_mib"), [("16k", 655, 429), ("44k", 1165, 466)], ids=RATES)
def test_full_size_networks_are_as_large_as_the_published_files(rate, vae_mib, vocoder_mib):
    with torch.device("meta"):
        network = MMAudioCodec("random", "random", "none", rate=rate).new_network()
    for name, size in (("vae", vae_mib), ("vocoder", vocoder_mib)):
        own = sum(value.numel() * 4 for value in network[name].state_dict().values()) / 2**20
        assert own == pytest.approx(size, abs=1.5)


@pytest.mark.parametrize("rate", RATES)
def test_diffusers_autoencoder_gives_the_same_latents_and_mel(rate, tmp_path):
    reference = reference_vae(rate)
    reference.save_pretrained(tmp_path)
    codec = make_codec(rate, vae=str(tmp_path))
    sound = make_sound(7 * codec.hop + 300, batch=2)
    mel = mel_of(reference, rate, sound)
    latents = codec.encode(sound)
    expected = reference.vae.encode(mel)[:, : codec.channels]
    torch.testing.assert_close(latents, expected, atol=1e-4, rtol=1e-4)
    if rate == "44k":  # the whole class, its front end too
        torch.testing.assert_close(latents, reference.encode(sound).latent_dist.mode(), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(codec._vae.decode(latents), reference.decode(latents).sample)


@pytest.mark.parametrize("rate", RATES)
def test_original_autoencoder_is_brought_to_unit_gain(rate, tmp_path, capsys):
    reference = reference_vae(rate)
    raw = {name: value.clone() for name, value in reference.vae.state_dict().items()}
    for name, value in raw.items():
        if name.endswith(".weight"):
            raw[name] = torch.randn(value.shape) * 1.7
            norm = raw[name].flatten(1).norm(dim=1).view(-1, 1, 1)
            size = value[0].numel() ** 0.5
            reference.vae.get_submodule(name.removesuffix(".weight")).weight.copy_(
                raw[name] / (1e-4 + norm / size) / size
            )
    torch.save(raw, tmp_path / "v1.pth")
    codec = make_codec(rate, vae=str(tmp_path / "v1.pth"))
    sound = make_sound(7 * codec.hop)
    expected = reference.vae.encode(mel_of(reference, rate, sound))[:, : codec.channels]
    torch.testing.assert_close(codec.encode(sound), expected, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(codec._vae.decode(expected), reference.decode(expected).sample, atol=1e-4, rtol=1e-4)
    assert "CC-BY-NC 4.0" in capsys.readouterr().err


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("style", ["old", "new", "folded", "diffusers"])
def test_every_stored_form_of_the_vocoder_gives_the_same_sound(rate, style, tmp_path):
    vocoder = random_vocoder(rate)
    if style in ("old", "new"):
        for conv in convolutions(vocoder):
            magnitude = weight_norm(conv).parametrizations.weight.original0
            magnitude.requires_grad_(False).mul_(torch.rand_like(magnitude) + 0.5)
    state = vocoder.state_dict()
    if style == "old":
        kinds = {".parametrizations.weight.original0": ".weight_g", ".parametrizations.weight.original1": ".weight_v"}
        state = {next((k.replace(a, b) for a, b in kinds.items() if k.endswith(a)), k): v for k, v in state.items()}
        assert "conv_pre.weight_g" in state
    path = tmp_path / "vocoder.pt"
    if style == "diffusers":
        path = tmp_path / "vocoder"
        vocoder.save_pretrained(path)
    else:
        torch.save({"generator": state}, path)
    codec = make_codec(rate, vocoder=str(path))
    latents = torch.randn(1, codec.channels, 3)
    expected = sound_of(vocoder, rate, codec._vae.decode(latents))
    torch.testing.assert_close(codec.decode(latents), expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("extra", [0, 1, -1])
def test_whole_latents_and_the_samples_they_cover(rate, extra):
    codec = make_codec(rate)
    samples = 4 * codec.hop + extra
    latents = codec.encode(make_sound(samples))
    assert latents.shape == (1, codec.channels, samples // codec.hop)
    sound = codec.decode(latents)
    assert sound.shape == (1, samples // codec.hop * codec.hop)
    assert sound.abs().max() <= 1


@pytest.mark.parametrize("frames", [1, 25, 109])
def test_sound_and_picture_of_a_clip_end_together(frames):
    codec, geometry = make_codec(), Geometry()
    latents = codec.encode(make_sound(geometry.samples(frames)))
    assert latents.shape[2] == geometry.audio_latents(frames)
    sound_s = latents.shape[2] * codec.hop / codec.sample_rate_hz
    picture_s = geometry.duration_s(geometry.pixel_frames(geometry.latent_frames(frames)))
    assert 0 <= picture_s - sound_s < 1 / geometry.audio_rate_hz < 1 / geometry.fps


def test_one_latent_is_the_least():
    codec = make_codec()
    assert codec.encode(make_sound(512)).shape == (1, 20, 1)
    with pytest.raises(ValueError, match="at least 512 samples"):
        codec.encode(make_sound(511))


class Lossless(nn.Module):
    """Stands in for the autoencoder: both mel frames of a latent side by side in its channels."""

    def __init__(self, bands: int) -> None:
        super().__init__()
        self.bands = bands
        self.register_buffer("data_mean", torch.zeros(1))

    def encode(self, mel):
        return mel.unflatten(2, (-1, 2)).movedim(3, 1).flatten(1, 2).repeat(1, 2, 1)

    def decode(self, latents):
        return latents.unflatten(1, (2, self.bands)).movedim(1, 3).flatten(2)


class Buzz(nn.Module):
    """Stands in for the vocoder: the loudness of a mel frame, throughout its hop."""

    def __init__(self, hop: int) -> None:
        super().__init__()
        self.hop = hop

    def forward(self, mel):
        loudness = (10**mel).sum(1, keepdim=True)
        return type("Output", (), {"sample": loudness.repeat_interleave(self.hop, dim=2)})


def centre(values: torch.Tensor) -> float:
    """The mean place of energy along the last axis, counted in steps from the start of the first one."""
    energy = values.square().reshape(-1, values.shape[-1]).sum(0)
    return float((energy * (torch.arange(len(energy)) + 0.5)).sum() / energy.sum())


@pytest.mark.parametrize("sample", [2000, 8000, 8200, 13_000])
def test_an_impulse_comes_back_within_20_ms(sample):
    statistics = LatentStatistics(mean=[-3.0] * 160, std=[0.7] * 160)
    codec = MMAudioCodec("random", "random", statistics, dataclasses.replace(SMALL["16k"], channels=160))
    codec.__dict__.update(_vae=Lossless(80), _vocoder=Buzz(256))
    sound = torch.zeros(1, 30 * 512 + 77)
    sound[0, sample] = 1
    again = codec.decode(codec.encode(sound))
    assert again.shape == (1, 30 * 512)
    assert abs(centre(again) - sample) < 0.02 * 16_000


@pytest.mark.parametrize("sample", [4000, 8192, 8500])
def test_the_encoder_keeps_time(sample):
    codec = make_codec()
    codec._vae.encoder.mid.attn_1.proj_out.weight.zero_()  # attention sees the whole sound
    sound = torch.zeros(1, 32 * 512)
    struck = sound.clone()
    struck[0, sample] = 1
    change = codec.encode(struck) - codec.encode(sound)
    assert abs(centre(change) * 512 - sample) < 0.02 * 16_000


@pytest.mark.parametrize("latent", [9, 16])
def test_the_decoder_and_the_vocoder_keep_time(latent):
    codec = make_codec()
    codec._vae.decoder.mid.attn_1.proj_out.weight.zero_()
    latents = torch.randn(1, 20, 32, generator=torch.Generator().manual_seed(4))
    struck = latents.clone()
    struck[:, :, latent] += 1
    change = codec.decode(struck) - codec.decode(latents)
    assert abs(centre(change) - (latent + 0.5) * 512) < 0.02 * 16_000


def test_latents_are_as_they_are_unless_statistics_are_given():
    statistics = LatentStatistics(mean=[0.5] * 20, std=[1 + channel / 10 for channel in range(20)])
    plain, normalised = make_codec(), make_codec(normalise=statistics)
    sound = make_sound(2048)
    std = torch.tensor(statistics.std)[:, None]
    torch.testing.assert_close(normalised.encode(sound), (plain.encode(sound) - 0.5) / std)
    torch.testing.assert_close(normalised.decode(normalised.encode(sound)), plain.decode(plain.encode(sound)))


def test_statistics_of_other_channels_are_refused():
    with pytest.raises(ValueError, match="2 channels do not fit a codec of 20"):
        make_codec(normalise=LatentStatistics(mean=[0.0, 0.0], std=[1.0, 1.0]))


@pytest.mark.parametrize(("mean", "std"), [([0.0], [1.0, 1.0]), ([0.0], [0.0])])
def test_statistics_that_cannot_be_are_refused(mean, std):
    with pytest.raises(ValueError, match="std"):
        LatentStatistics(mean=mean, std=std)


def test_sounds_do_not_depend_on_their_batch():
    codec, sounds = make_codec(), make_sound(2048, batch=6)
    latents = codec.encode(sounds)
    torch.testing.assert_close(latents[5:], codec.encode(sounds[5:]))
    torch.testing.assert_close(codec.decode(latents)[5:], codec.decode(latents[5:]))


def test_encoding_needs_no_vocoder():
    codec = make_codec(vocoder="there is/none.pt")
    codec.encode(make_sound(1024))
    with pytest.raises(ValueError, match=r"there is/none\.pt: MMAudio's vocoder for 16 kHz is best_netG\.pt of github"):
        codec.decode(torch.zeros(1, 20, 2))


def test_vocoders_of_the_other_rate_are_refused(tmp_path):
    torch.save({"generator": random_vocoder("44k").state_dict()}, tmp_path / "bigvgan_generator.pt")
    with pytest.raises(ValueError, match="of another shape"):
        make_codec("16k", vocoder=str(tmp_path / "bigvgan_generator.pt")).decode(torch.zeros(1, 20, 2))


@pytest.mark.parametrize("layout", MMAUDIO_LAYOUTS, ids=lambda layout: layout.name)
def test_every_layout_fills_a_part_of_the_codec(layout):
    network = make_codec().new_network()
    assert network.get_submodule(layout.part.removeprefix("system.audio_codec.")) in (
        network["vae"],
        network["vocoder"],
    )


def test_yaml_makes_the_codec():
    node = {"class_path": "harmony_lit.codecs.mmaudio.MMAudioCodec"}
    weights = {"vae_weights": "v1-44.pth", "vocoder_weights": "random"}
    statistics = {"mean": [0.0] * 40, "std": [2.0] * 40}
    codec = build({**node, "init_args": {**weights, "rate": "44k", "normalise": statistics}}, "system.audio_codec")
    assert (codec.hop, codec.statistics.std[0]) == (1024, 2.0)
    with pytest.raises(ValueError, match="rate"):
        build({**node, "init_args": {**weights, "rate": "48k", "normalise": "none"}}, "system.audio_codec")
    with pytest.raises(ValueError, match="normalise"):  # nobody shall normalise, or not, without knowing
        build({**node, "init_args": {**weights, "rate": "44k"}}, "system.audio_codec")


def test_fingerprint_tells_rates_statistics_and_weights_apart(tmp_path):
    for name, value in (("one", 1.0), ("two", 2.0)):
        torch.save({"data_mean": torch.full((1, 80, 1), value)}, tmp_path / f"{name}.pth")
    codecs = [
        make_codec(),
        make_codec("44k"),
        make_codec(normalise=LatentStatistics(mean=[0.1] * 20, std=[1.0] * 20)),
        make_codec(vae=str(tmp_path / "one.pth")),
        make_codec(vae=str(tmp_path / "two.pth")),
        make_codec(vocoder=str(tmp_path / "two.pth")),
    ]
    assert len({codec.fingerprint for codec in codecs}) == len(codecs)
    assert make_codec().fingerprint == make_codec(device="cpu", offload=True).fingerprint
