"""Audiobox-Aesthetics with random weights under the published names, in both published forms."""

import json

import pytest
import torch
from safetensors.torch import save_file
from transformers import WavLMConfig

from harmony_lit.containers import Clip
from harmony_lit.errors import UserError
from metrics.audio import aesthetics, aesthetics_network
from metrics.audio.aesthetics import AudioboxAesthetics, rate, windows
from metrics.audio.aesthetics_network import AXES, AestheticsNetwork, HeadConfig, rename
from metrics.bench.cases import BenchCase
from metrics.networks import forget_shared

CASE = BenchCase("k", "ambient")
SCALE = {"CE": {"mean": 5.3, "std": 1.7}, "CU": {"mean": 6.0, "std": 1.5}} | {
    axis: {"mean": 4.5, "std": 1.2} for axis in ("PC", "PQ")
}
CONFIG = {"proj_num_layer": 3, "proj_ln": True, "proj_dropout": 0.1, "proj_act_fn": "gelu", "nth_layer": 3,
          "use_weighted_layer_sum": True, "precision": "32", "normalize_embed": True, "output_dim": 1}  # fmt: skip
LAYERS, WIDTH, INNER, HEADS, CONV = 2, 32, 64, 4, 16


def small():
    """WavLM in shape, not in size."""
    return WavLMConfig(
        hidden_size=WIDTH, num_hidden_layers=LAYERS, num_attention_heads=HEADS, intermediate_size=INNER,
        conv_dim=(CONV,) * 7, num_conv_pos_embedding_groups=4,
    )  # fmt: skip


@pytest.fixture(autouse=True)
def small_networks(monkeypatch):
    monkeypatch.setattr(aesthetics_network, "WavLMConfig", small)
    yield
    forget_shared()


def published_shapes():
    """Every name of ``AesMultiOutput``'s state dict, in this size, written out."""
    shapes = {"mask_emb": (WIDTH,), "layer_norm.weight": (CONV,), "layer_norm.bias": (CONV,)}
    for layer, kernel in enumerate((10, 3, 3, 3, 3, 2, 2)):
        shapes[f"feature_extractor.conv_layers.{layer}.0.weight"] = (CONV, CONV if layer else 1, kernel)
    shapes |= {f"feature_extractor.conv_layers.0.2.{part}": (CONV,) for part in ("weight", "bias")}
    shapes |= {"post_extract_proj.weight": (WIDTH, CONV), "post_extract_proj.bias": (WIDTH,)}
    shapes |= {"encoder.pos_conv.0.bias": (WIDTH,), "encoder.pos_conv.0.weight_g": (1, 1, 128)}
    shapes |= {"encoder.pos_conv.0.weight_v": (WIDTH, WIDTH // 4, 128)}
    shapes |= {"encoder.layer_norm.weight": (WIDTH,), "encoder.layer_norm.bias": (WIDTH,)}
    for layer in range(LAYERS):
        inside = f"encoder.layers.{layer}."
        for name in ("k_proj", "v_proj", "q_proj", "out_proj"):
            shapes |= {f"{inside}self_attn.{name}.weight": (WIDTH, WIDTH), f"{inside}self_attn.{name}.bias": (WIDTH,)}
        shapes[f"{inside}self_attn.grep_linear.weight"] = (8, WIDTH // HEADS)
        shapes |= {f"{inside}self_attn.grep_linear.bias": (8,), f"{inside}self_attn.grep_a": (1, HEADS, 1, 1)}
        shapes |= {f"{inside}fc1.weight": (INNER, WIDTH), f"{inside}fc1.bias": (INNER,)}
        shapes |= {f"{inside}fc2.weight": (WIDTH, INNER), f"{inside}fc2.bias": (WIDTH,)}
        for norm in ("self_attn_layer_norm", "final_layer_norm"):
            shapes |= {f"{inside}{norm}.{part}": (WIDTH,) for part in ("weight", "bias")}
    shapes["encoder.layers.0.self_attn.relative_attention_bias.weight"] = (320, HEADS)
    shapes = {f"wavlm_model.{name}": shape for name, shape in shapes.items()}
    for axis in AXES:
        shapes[f"layer_weights.{axis}"] = (LAYERS + 1,)
        for index in (0, 4):  # linear, norm, GELU, dropout, twice
            shapes |= {f"proj_layer.{axis}.{index}.weight": (WIDTH, WIDTH), f"proj_layer.{axis}.{index}.bias": (WIDTH,)}
            shapes |= {f"proj_layer.{axis}.{index + 1}.{part}": (WIDTH,) for part in ("weight", "bias")}
        shapes |= {f"proj_layer.{axis}.8.weight": (1, WIDTH), f"proj_layer.{axis}.8.bias": (1,)}
    return shapes


def published_state():
    generator = torch.Generator().manual_seed(0)
    return {name: 0.2 * torch.randn(shape, generator=generator) for name, shape in published_shapes().items()}


def as_folder(folder):
    (folder / "config.json").write_text(json.dumps(CONFIG | {"target_transform": SCALE}))
    save_file(published_state(), folder / "model.safetensors")
    return str(folder)


def as_checkpoint(folder):
    state = {f"model.{name}": tensor for name, tensor in published_state().items()}
    torch.save({"state_dict": state, "model_cfg": CONFIG, "target_transform": SCALE}, folder / "checkpoint.pt")
    return str(folder / "checkpoint.pt")


def noise(samples, seed=0):
    return 0.1 * torch.randn(samples, generator=torch.Generator().manual_seed(seed))


def clip(samples=24_000):
    return Clip(torch.zeros(1, 3, 2, 2, dtype=torch.uint8), noise(samples), 25.0, 16_000)


def test_pq_pc_ce_cu_run_end_to_end_with_a_randomly_initialised_wavlm(tmp_path):
    metric = AudioboxAesthetics(as_folder(tmp_path))
    assert metric.missing() is None
    assert [(m.title, m.direction) for m in metric.measures] == [
        ("PQ", "higher"), ("PC", "lower"), ("CE", "higher"), ("CU", "higher"),
    ]  # fmt: skip
    metric.update(clip(), CASE)
    values = {key: float(value) for key, value in metric.compute().items()}
    assert set(values) == {"pq", "pc", "ce", "cu"} and len(set(values.values())) == 4
    assert AudioboxAesthetics(as_checkpoint(tmp_path)).measure(clip(), CASE) == pytest.approx(values, rel=1e-5)


def test_every_published_name_has_its_place():
    network = AestheticsNetwork(HeadConfig.read(CONFIG))
    assert {rename(name) for name in published_shapes()} == set(network.state_dict())
    assert {rename(f"model.{name}") for name in published_shapes()} == set(network.state_dict())


def test_windows_hold_ten_seconds_and_the_last_is_padded():
    cut, lengths = windows(noise(170_000))
    assert cut.shape == (2, 160_000) and lengths.tolist() == [160_000, 10_000]
    assert cut.flatten()[:170_000].equal(noise(170_000)) and not cut[1, 10_000:].any()
    assert windows(noise(160_000))[1].tolist() == [160_000]


def test_a_long_sound_is_the_mean_of_its_windows_weighed_by_duration(tmp_path):
    network, scale = aesthetics._load(as_folder(tmp_path), AudioboxAesthetics().runtime)
    sound = noise(200_000)
    sound[160_000:] = torch.sin(torch.arange(40_000) / 7)
    whole, first, last = (rate(part, network, scale) for part in (sound, sound[:160_000], sound[160_000:]))
    for axis in AXES:
        assert whole[axis] == pytest.approx(0.8 * first[axis] + 0.2 * last[axis], rel=1e-6)
        assert first[axis] != pytest.approx(last[axis], rel=2e-5)


def test_padding_is_not_attended_to(tmp_path):
    network, _ = aesthetics._load(as_folder(tmp_path), AudioboxAesthetics().runtime)
    frames = []
    network.wavlm_model.encoder.layers[0].register_forward_hook(lambda *args: frames.append(args[2][0]))
    length = torch.tensor([32_000])
    silent, loud = torch.zeros(1, 160_000), 5 * noise(160_000)[None]
    for sound in (silent, loud):
        sound[:, :32_000] = noise(32_000)
    # The front end's group norm looks at the whole window, padding included, as in the original.
    network.wavlm_model.feature_extractor.conv_layers[0].layer_norm = torch.nn.Identity()
    one, other = (network(sound, length) for sound in (silent, loud))
    assert frames[0].shape[1] == 499
    for axis in AXES:
        # The last frame that counts reaches 80 samples into the padding.
        assert float(one[axis]) == pytest.approx(float(other[axis]), abs=2e-2)


def test_the_same_as_the_published_code(monkeypatch):
    monkeypatch.setattr(aesthetics_network, "WavLMConfig", WavLMConfig)
    published = pytest.importorskip("audiobox_aesthetics.model.aes", reason="pip install --no-deps audiobox_aesthetics")
    reference = published.AesMultiOutput(**CONFIG | {"nth_layer": 13}, target_transform=SCALE).eval()
    forget = {name for name in reference.state_dict() if "wavlm_model" not in name}
    assert forget
    network = AestheticsNetwork(HeadConfig.read(CONFIG | {"nth_layer": 13})).eval()
    network.load_state_dict({rename(name): tensor for name, tensor in reference.state_dict().items()})
    sound = torch.stack([noise(160_000, 1), noise(160_000, 2)])
    lengths = torch.tensor([160_000, 39_041])
    inside = torch.arange(160_000) < lengths[:, None]
    with torch.no_grad():
        expected = reference({"wav": (sound * inside)[:, None], "mask": inside[:, None]})
        for axis, score in network(sound * inside, lengths).items():
            torch.testing.assert_close(score, expected[axis], rtol=1e-4, atol=1e-5)


def test_a_clip_without_sound_is_excluded(tmp_path):
    scores = AudioboxAesthetics("x").measure(clip(0), CASE)
    assert {score.excluded for score in scores.values()} == {"no sound"}


def test_what_is_missing_or_foreign_is_told(tmp_path):
    assert AudioboxAesthetics(str(tmp_path / "none")).missing().startswith("Audiobox-Aesthetics' weights")
    (tmp_path / "config.json").write_text(
        json.dumps(CONFIG | {"use_weighted_layer_sum": False, "target_transform": SCALE})
    )
    save_file(published_state(), tmp_path / "model.safetensors")
    with pytest.raises(UserError, match="not Audiobox-Aesthetics as published"):
        AudioboxAesthetics(str(tmp_path)).measure(clip(), CASE)
    torch.save(published_state(), tmp_path / "bare.pt")
    with pytest.raises(UserError, match=r"bare\.pt lacks model_cfg or target_transform"):
        AudioboxAesthetics(str(tmp_path / "bare.pt")).measure(clip(), CASE)
