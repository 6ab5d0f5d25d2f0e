import pytest
import torch
from torch.nn import functional

from harmony_lit.errors import UserError
from metrics.joint_embedding.imagebind_weights import HEADS, TOWERS, layout_of, load_tower, size_of
from metrics.joint_embedding.towers import Block, TextTower, TowerSize
from metrics.networks import Runtime

CPU = Runtime("cpu")


@pytest.mark.parametrize("extra_key", [False, True])
def test_a_block_is_attention_then_mlp_with_a_learnt_token_that_all_see(extra_key):
    torch.manual_seed(0)
    block, x = Block(8, 2, extra_key).double(), torch.randn(1, 5, 8).double()
    state = block.state_dict()
    if extra_key:
        block.attn.bias_k.data.normal_()
        block.attn.bias_v.data.normal_()
    normed = functional.layer_norm(x[0], (8,), state["norm_1.weight"], state["norm_1.bias"], 1e-6)
    q, k, v = (normed @ state["attn.in_proj_weight"].T + state["attn.in_proj_bias"]).chunk(3, dim=-1)
    if extra_key:
        k, v = torch.cat([k, block.attn.bias_k[0]]), torch.cat([v, block.attn.bias_v[0]])
    each = [torch.softmax(q[:, head] @ k[:, head].T / 2, dim=-1) @ v[:, head] for head in (slice(0, 4), slice(4, 8))]
    seen = x[0] + torch.cat(each, dim=-1) @ state["attn.out_proj.weight"].T + state["attn.out_proj.bias"]
    torch.testing.assert_close(block(x, None)[0], seen + block.mlp(block.norm_2(seen)))


def test_what_follows_the_end_of_a_text_does_not_matter():
    torch.manual_seed(0)
    tower = TextTower(TowerSize(width=8, depth=2, joint=4, heads=2, vocabulary=10)).eval()
    torch.nn.init.normal_(tower.positions)
    texts = torch.randint(0, 8, (2, 77))
    texts[:, 5] = 9
    texts[1, :5] = texts[0, :5]
    first, second = tower(texts).detach()
    torch.testing.assert_close(first, second)
    assert float(first.norm()) == pytest.approx(1)
    texts[1, 3] = (texts[1, 3] + 1) % 8
    assert not torch.allclose(first, tower(texts)[1], atol=1e-3)


@pytest.mark.parametrize("modality", TOWERS)
def test_towers_of_the_published_size_have_the_published_number_of_parameters(modality):
    # ImageBind-huge: ViT-H for pictures, ViT-B for sound, the text transformer of OpenCLIP's ViT-H.
    width, depth = {"vision": (1280, 32), "audio": (768, 12), "text": (1024, 24)}[modality]
    with torch.device("meta"):
        tower = TOWERS[modality](TowerSize(width, depth, 1024, HEADS[modality], 49_408))
    shapes = {layout_of(modality).restore(name): value.shape for name, value in tower.state_dict().items()}
    size = size_of(modality, shapes)
    assert (size.width, size.depth, size.joint) == (width, depth, 1024)
    # A block has 12 D^2 weights, 13 D biases and norms; sound's learnt key and value are 2 D more.
    expected = depth * (12 * width**2 + (15 if modality == "audio" else 13) * width) + 2 * width + 1024 * width
    expected += {
        "vision": (1 + 257 + 3 * 2 * 14 * 14 + 2) * width,
        "audio": (1 + 229 + 16 * 16 + 2) * width,
        "text": (49_408 + 77) * width,
    }[modality]
    assert sum(value.numel() for value in tower.parameters()) == expected


@pytest.mark.parametrize("modality", TOWERS)
def test_a_tower_is_loaded_from_the_published_layout_and_other_towers_are_left(
    imagebind_weights, imagebind_tensors, modality
):
    tower = load_tower(imagebind_weights, modality, CPU)
    for name, value in tower.state_dict().items():
        assert torch.equal(value, imagebind_tensors[layout_of(modality).restore(name)])


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"modality_trunks.audio.blocks.1.attn.bias_k": None}, "1 missing .blocks.1.attn.bias_k"),
        (
            {"modality_trunks.audio.pre_transformer_layer.0.bias": torch.zeros(24)},
            "1 unexpected .modality_trunks.audio",
        ),
        ({"modality_preprocessors.audio.cls_token": torch.zeros(1, 1, 25)}, "1 of another shape .class_token"),
        ({"modality_heads.audio.2.weight": None}, "is not ImageBind's weights file"),
    ],
)
def test_a_file_whose_tower_differs_is_refused(tmp_path, imagebind_tensors, change, told):
    changed = {name: value for name, value in (imagebind_tensors | change).items() if value is not None}
    torch.save(changed, tmp_path / "imagebind_huge.pth")
    with pytest.raises(UserError, match=told):
        load_tower(str(tmp_path / "imagebind_huge.pth"), "audio", CPU)
