from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from transformers import (
    CLIPConfig,
    CLIPModel,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
    SiglipVisionConfig,
    SiglipVisionModel,
)
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

from harmony_lit.errors import UserError
from metrics.bench.cases import BenchCase
from metrics.networks import Runtime
from metrics.picture.aesthetics import (
    CLIP_MEAN,
    CLIP_STD,
    AestheticQuality,
    LaionLinear,
    PredictorV25,
    V25Head,
    clip_pixels,
    siglip_pixels,
)
from metrics.published import load_transformer

CASE = BenchCase("k", "ambient")
HEAD = Path(__file__).parents[4] / "shared/assets/weights/sa_0_4_vit_l_14_linear.pth"
VISION = {
    "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2,
    "image_size": 224, "patch_size": 32,
}  # fmt: skip


def noise(height: int, width: int, frames: int = 2) -> torch.Tensor:
    return torch.randint(0, 256, (frames, 3, height, width), generator=torch.Generator().manual_seed(5)).byte()


@pytest.mark.parametrize("size", [(96, 160), (340, 604), (568, 320), (224, 224), (225, 301)])
def test_pixels_are_those_of_the_image_processor_of_clip(size):
    frames = noise(*size)
    processor = CLIPImageProcessorPil()
    expected = processor([frame.numpy() for frame in frames], return_tensors="pt", input_data_format="channels_first")
    assert torch.allclose(clip_pixels(frames), expected["pixel_values"].float(), atol=1e-5)


@pytest.mark.parametrize("size", [(96, 160), (480, 320)])
def test_pixels_are_those_of_the_image_processor_of_siglip(size):
    frames = noise(*size)
    processor = SiglipImageProcessorPil(size={"height": 384, "width": 384})
    expected = processor([frame.numpy() for frame in frames], return_tensors="pt", input_data_format="channels_first")
    assert torch.allclose(siglip_pixels(frames), expected["pixel_values"].float(), atol=1e-5)


def cubic(distance: float) -> float:
    """Keys' kernel with a = -0.75, torch's."""
    a, x = -0.75, abs(distance)
    if x <= 1:
        return (a + 2) * x**3 - (a + 3) * x**2 + 1
    return a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a if x < 2 else 0.0


def test_without_antialiasing_a_pixel_is_interpolated_from_sixteen_neighbours():
    frames = noise(448, 672, frames=1)
    found = clip_pixels(frames, antialias=False)
    row, column = 100, 57
    y, x = (row + 0.5) * 2 - 0.5, (column + (336 - 224) // 2 + 0.5) * 2 - 0.5
    rows, columns = (np.arange(int(np.floor(v)) - 1, int(np.floor(v)) + 3) for v in (y, x))
    value = sum(cubic(y - r) * cubic(x - c) * float(frames[0, 1, r, c]) for r in rows for c in columns)
    assert float(found[0, 1, row, column]) == pytest.approx((value / 255 - CLIP_MEAN[1]) / CLIP_STD[1], abs=1e-4)


@pytest.fixture
def clip_folder(tmp_path):
    torch.manual_seed(0)
    CLIPVisionModelWithProjection(CLIPVisionConfig(**VISION, projection_dim=768)).save_pretrained(tmp_path / "clip")
    return str(tmp_path / "clip")


@pytest.fixture
def head_file(tmp_path):
    torch.manual_seed(1)
    torch.save(nn.Linear(768, 1).state_dict(), tmp_path / "sa_0_4_vit_l_14_linear.pth")
    return str(tmp_path / "sa_0_4_vit_l_14_linear.pth")


def test_aq_runs_end_to_end_with_randomly_initialised_clip_and_the_published_head(pan, clip_folder):
    if not HEAD.is_file():
        pytest.skip(f"needs {HEAD}")
    clip = pan([0, 1, 2, 3, 4])
    metric = AestheticQuality(LaionLinear(str(HEAD), clip_folder, runtime=Runtime("cpu")), batch_size=2)
    assert metric.missing() is None
    value = metric.measure(clip, CASE)["aq"]
    head = torch.load(HEAD, weights_only=True)
    encoder = CLIPVisionModelWithProjection.from_pretrained(clip_folder).eval()
    total = 0.0
    for frame in clip.video:
        with torch.no_grad():
            features = encoder(pixel_values=clip_pixels(frame[None])).image_embeds[0].double()
        total += float(head["weight"][0].double() @ (features / features.norm()) + head["bias"][0].double())
    assert value == pytest.approx(total / 5 / 10, rel=1e-4)
    assert "sa_0_4_vit_l_14_linear.pth sha256:" in metric.measures[0].checkpoint


def test_aq_runs_end_to_end_with_randomly_initialised_clip_and_head_on_a_real_clip(real_clip, clip_folder, head_file):
    head = LaionLinear(head_file, clip_folder, runtime=Runtime("cpu"))
    every, third = (AestheticQuality(head, stride=n).measure(real_clip, CASE)["aq"] for n in (1, 3))
    ratings = head.ratings(real_clip.video) / 10
    assert every == pytest.approx(float(ratings.mean()), rel=1e-5)
    assert third == pytest.approx(float(ratings[[0, 3]].mean()), rel=1e-5)
    assert every != third


def test_aq_runs_end_to_end_with_randomly_initialised_siglip_and_v25_head(pan, tmp_path):
    torch.manual_seed(0)
    SiglipVisionModel(SiglipVisionConfig(**{**VISION, "image_size": 384})).save_pretrained(tmp_path / "siglip")
    torch.save(V25Head(32).state_dict(), tmp_path / "aesthetic_predictor_v2_5.pth")
    head = PredictorV25(str(tmp_path / "aesthetic_predictor_v2_5.pth"), str(tmp_path / "siglip"), Runtime("cpu"))
    metric = AestheticQuality(head)
    assert metric.missing() is None
    assert np.isfinite(metric.measure(pan([0, 1]), CASE)["aq"])


def test_the_vision_tower_of_a_whole_clip_is_enough(tmp_path, clip_folder):
    torch.manual_seed(0)
    text = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    vision = {**VISION, "projection_dim": 768}
    whole = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=768)).eval()
    whole.save_pretrained(tmp_path / "whole")
    part = load_transformer("CLIPVisionModelWithProjection", str(tmp_path / "whole"), Runtime("cpu"))
    pixels = clip_pixels(noise(64, 64))
    with torch.no_grad():
        expected = whole.visual_projection(whole.vision_model(pixel_values=pixels).pooler_output)
        assert torch.allclose(part(pixel_values=pixels).image_embeds, expected, atol=1e-5)


def test_a_model_that_lacks_the_projection_is_refused(tmp_path):
    SiglipVisionModel(SiglipVisionConfig(**VISION)).save_pretrained(tmp_path / "other")
    with pytest.raises(UserError, match="is no CLIPVisionModelWithProjection: it lacks"):
        load_transformer("CLIPVisionModelWithProjection", str(tmp_path / "other"), Runtime("cpu"))


def test_the_names_of_the_v25_head_are_the_published_ones():
    shapes = {name: tuple(value.shape) for name, value in V25Head().state_dict().items() if name.endswith("weight")}
    assert shapes == {
        "scoring_head.0.weight": (1024, 1152),
        "scoring_head.2.weight": (128, 1024),
        "scoring_head.4.weight": (64, 128),
        "scoring_head.6.weight": (16, 64),
        "scoring_head.8.weight": (1, 16),
    }


def test_what_is_absent_is_named(head_file):
    assert "sa_0_4_vit_l_14_linear.pth" in AestheticQuality().missing()
    assert "clip-vit-large-patch14" in AestheticQuality(LaionLinear(head_file)).missing()
    assert "AGPL" in AestheticQuality(PredictorV25()).missing()
