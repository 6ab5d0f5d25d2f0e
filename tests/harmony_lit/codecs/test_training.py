"""Fits of the codecs leave weights that the codecs load."""

from __future__ import annotations

import lightning as L
import pytest
import torch
from torch.utils.data import DataLoader

from harmony_lit.codecs.conv_video import ConvVideoCodec
from harmony_lit.codecs.losses import motion_weight, spectral_loss, video_loss
from harmony_lit.codecs.spectral_audio import SpectralAudioCodec
from harmony_lit.codecs.training import AudioCodecModule, VideoCodecModule


def fit(module: L.LightningModule, samples: torch.Tensor, folder, steps: int) -> None:
    trainer = L.Trainer(
        max_steps=steps,
        max_epochs=-1,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
    )
    trainer.fit(module, DataLoader(samples, batch_size=8))


def test_video_fit_exports_weights_that_reconstruct(tmp_path):
    settings = {"channels": 4, "width": 8, "precision": "fp32"}
    colours = torch.randint(0, 256, (8, 3, 1, 1, 1), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    frames = colours.expand(-1, -1, 5, 32, 32).contiguous()
    path = str(tmp_path / "video.safetensors")
    codec = ConvVideoCodec(weights=None, **settings)
    fit(VideoCodecModule(codec, path, learning_rate=1e-2, noise=0.1), frames, tmp_path, 80)
    video = frames.float() / 127.5 - 1

    def error(codec: ConvVideoCodec) -> float:
        return (codec.decode(codec.encode(video)) - video).abs().mean().item()

    assert error(ConvVideoCodec(weights=path, **settings)) < 0.7 * error(ConvVideoCodec(weights=None, **settings))


def test_polishing_the_decoder_leaves_latents_as_they_are(tmp_path):
    settings = {"channels": 4, "width": 8, "precision": "fp32"}
    generator = torch.Generator().manual_seed(0)
    frames = torch.randint(0, 256, (8, 3, 5, 32, 32), generator=generator, dtype=torch.uint8)
    path = str(tmp_path / "video.safetensors")
    module = VideoCodecModule(ConvVideoCodec(weights=None, **settings), path, decoder_only=True)
    video = frames.float() / 127.5 - 1
    with torch.no_grad():
        latents, decoded = module.network.eval().encode(video), module.network.decode(video.new_ones(1, 4, 1, 2, 2))
    fit(module, frames, tmp_path, 3)
    with torch.no_grad():
        assert torch.equal(module.network.eval().encode(video), latents)
        assert not torch.equal(module.network.decode(video.new_ones(1, 4, 1, 2, 2)), decoded)


def test_audio_fit_exports_weights_that_reconstruct(tmp_path):
    settings = {"channels": 4, "width": 16}
    time_s = torch.arange(4096) / 16_000
    sounds = torch.stack([0.3 * torch.sin(2 * torch.pi * 200 * (n + 1) * time_s) for n in range(8)])
    path = str(tmp_path / "audio.safetensors")
    fit(AudioCodecModule(SpectralAudioCodec(weights=None, **settings), path, noise=0.1), sounds, tmp_path, 40)

    def error(weights: str | None) -> float:
        codec = SpectralAudioCodec(weights=weights, iterations=4, **settings)
        magnitude = codec.new_network().log_magnitude
        return (magnitude(codec.decode(codec.encode(sounds))) - magnitude(sounds)).abs().mean().item()

    assert error(path) < 0.5 * error(None)


def test_fit_without_a_number_of_steps_is_refused(tmp_path):
    module = AudioCodecModule(SpectralAudioCodec(weights=None, channels=4, width=8), str(tmp_path / "a.safetensors"))
    with pytest.raises(ValueError, match="max_steps"):
        fit(module, torch.zeros(4, 4096), tmp_path, -1)


def test_moving_pixels_weigh_more():
    video = torch.zeros(1, 3, 5, 8, 8)
    video[:, :, ::2, 2:4, 2:4] = 1
    weight = motion_weight(video, gain=16.0)
    assert weight.mean() == pytest.approx(1.0)
    assert weight[..., 2:4, 2:4].min() == pytest.approx(17 * weight[..., 6, 6].max().item())


def test_losses_vanish_only_at_the_target():
    video = torch.rand(2, 3, 5, 8, 8) * 2 - 1
    sound = torch.rand(2, 9, 6)
    assert video_loss(video, video) == 0
    assert spectral_loss(sound, sound) == 0
    assert video_loss(video + 0.1, video) > 0
    assert spectral_loss(sound + 0.1, sound) > 0
