import numpy as np
import pytest
import torch
from PIL import Image
from transformers import CLIPVisionConfig, CLIPVisionModel, Dinov2Config, Dinov2Model, DINOv3ViTConfig, DINOv3ViTModel

from harmony_lit.errors import UserError
from metrics.bench.cases import BenchCase
from metrics.networks import Runtime
from metrics.picture.identity import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    IdentityConsistency,
    dino_pixels,
    read_picture,
)

SMALL = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}


@pytest.fixture
def dinov3(tmp_path):
    torch.manual_seed(0)
    DINOv3ViTModel(DINOv3ViTConfig(**SMALL, patch_size=16, num_register_tokens=4)).save_pretrained(tmp_path / "dinov3")
    return str(tmp_path / "dinov3")


def case_of(video: torch.Tensor, frame: int, folder) -> BenchCase:
    Image.fromarray(video[frame].permute(1, 2, 0).numpy()).save(folder / "reference.png")
    return BenchCase("k", "speech", reference_image=str(folder / "reference.png"))


def test_pixels_are_those_of_pillows_antialiased_filter_up_to_its_rounding():
    frames = torch.randint(0, 256, (1, 3, 300, 500), generator=torch.Generator().manual_seed(0)).byte()
    picture = Image.fromarray(frames[0].permute(1, 2, 0).numpy()).resize((224, 224), Image.Resampling.BILINEAR)
    expected = (np.asarray(picture) / 255 - IMAGENET_MEAN) / IMAGENET_STD
    found = dino_pixels(frames)[0].permute(1, 2, 0).numpy()
    assert np.abs(found - expected).max() < 1.1 / 255 / min(IMAGENET_STD)


@pytest.mark.parametrize("source", ["real_clip", "generated"])
def test_id_runs_end_to_end_with_randomly_initialised_dinov3(tmp_path, request, dinov3, source):
    clip = request.getfixturevalue("pan")([0, 5, 9]) if source == "generated" else request.getfixturevalue(source)
    metric = IdentityConsistency(dinov3, batch_size=2, runtime=Runtime("cpu"))
    assert metric.missing() is None
    value = metric.measure(clip, case_of(clip.video, 1, tmp_path))["id"]
    network = DINOv3ViTModel.from_pretrained(dinov3).eval()
    with torch.no_grad():
        tokens = [network(pixel_values=dino_pixels(f[None])).last_hidden_state[0, 0].double() for f in clip.video]
    cosines = [float(token @ tokens[1] / token.norm() / tokens[1].norm()) for token in tokens]
    assert value == pytest.approx(np.mean(cosines), abs=1e-5)
    assert value < 1


def test_id_runs_end_to_end_with_randomly_initialised_dinov2_and_is_one_for_a_still(tmp_path, pan):
    torch.manual_seed(0)
    small = {key: value for key, value in SMALL.items() if key != "intermediate_size"}
    Dinov2Model(Dinov2Config(**small, patch_size=14, image_size=224)).save_pretrained(tmp_path / "dinov2")
    clip = pan([3, 3, 3])
    metric = IdentityConsistency(str(tmp_path / "dinov2"), runtime=Runtime("cpu"))
    assert metric.measure(clip, case_of(clip.video, 0, tmp_path))["id"] == pytest.approx(1.0, abs=1e-5)


def test_a_case_without_reference_image_has_no_id(pan, dinov3):
    metric = IdentityConsistency(dinov3, runtime=Runtime("cpu"))
    metric.update(pan([0, 1]), BenchCase("k", "speech"))
    assert metric.compute()["id"].isnan()
    assert metric.excluded()["id"] == 0


def test_reference_pictures_are_read_upright_and_without_transparency(tmp_path):
    picture = Image.new("RGB", (4, 2), (10, 200, 30))
    exif = picture.getexif()
    exif[0x0112] = 6
    picture.save(tmp_path / "turned.jpg", exif=exif)
    picture.convert("RGBA").save(tmp_path / "layered.png")
    assert read_picture(tmp_path / "turned.jpg").shape == (1, 3, 4, 2)
    assert read_picture(tmp_path / "layered.png").shape == (1, 3, 2, 4)


def test_another_kind_of_network_is_refused(tmp_path, pan):
    CLIPVisionModel(CLIPVisionConfig(**SMALL, image_size=224, patch_size=32)).save_pretrained(tmp_path / "clip")
    clip = pan([0, 1])
    metric = IdentityConsistency(str(tmp_path / "clip"), runtime=Runtime("cpu"))
    with pytest.raises(UserError, match="not a DINOv3"):
        metric.measure(clip, case_of(clip.video, 0, tmp_path))


def test_without_a_network_it_is_not_run():
    assert "DINOv3" in IdentityConsistency().missing()
