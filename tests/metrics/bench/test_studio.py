import numpy as np
import pytest
import torch
from PIL import Image

from metrics.bench.cases import BenchCase
from metrics.bench.fidelity import lsd_db, psnr_db
from metrics.bench.studio import autocast


def test_a_reference_image_of_another_size_is_scaled_and_cropped(tmp_path, studio):
    picture = np.zeros((64, 128, 3), np.uint8)
    picture[:, 32:96] = 200  # the middle, which is what a square keeps
    Image.fromarray(picture).save(tmp_path / "wide.png")
    image = studio.prompt(BenchCase("a", "ambient", reference_image=str(tmp_path / "wide.png"))).image
    assert image.shape == (3, 32, 32)
    assert image[:, :, 2:-2].float().mean() > 195


def test_a_prompt_holds_the_pixels_of_its_image(tmp_path, studio):
    pixels = np.random.default_rng(0).integers(0, 255, (32, 32, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "first.png")
    prompt = studio.prompt(BenchCase("a", "ambient", "seen", seed=7, reference_image=str(tmp_path / "first.png")))
    assert torch.equal(prompt.image.permute(1, 2, 0), torch.from_numpy(pixels))
    assert (prompt.seed, prompt.frames, prompt.video_caption) == (7, studio.frames, "seen")


def test_a_model_trained_in_bf16_samples_in_bf16():
    def product(x):
        return x @ x

    x = torch.eye(4)
    assert autocast(product, "bf16-mixed", "cpu")(x).dtype == torch.bfloat16
    assert autocast(product, "32-true", "cpu")(x).dtype == torch.float32


def test_distances_grow_with_the_error():
    video = torch.full((2, 3, 4, 4), 100, dtype=torch.uint8)
    assert psnr_db(video, video + 10) == pytest.approx(20 * np.log10(255 / 10), abs=1e-3)
    sound = torch.randn(8_000, generator=torch.Generator().manual_seed(0)) * 0.1
    assert lsd_db(sound, sound) == 0
    assert lsd_db(sound, 0.5 * sound) == pytest.approx(6.02, abs=0.1)
    assert lsd_db(sound, torch.zeros_like(sound)) > 10
