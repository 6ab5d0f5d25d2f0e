import json
from pathlib import Path

import pytest
import torch

from harmony_lit.errors import UserError
from metrics.networks import Runtime, shared
from metrics.synchformer.network import OFFSETS_S, Synchformer, load_synchformer
from metrics.synchformer.video import DividedAttention

GOLDEN = Path(__file__).parents[4] / "shared" / "golden"
CPU = Runtime("cpu")


def golden(name):
    path = GOLDEN / name
    if not path.is_file():
        pytest.skip(f"needs {path}")
    return path


def published_shapes():
    with torch.device("meta"):
        return {name: value.shape for name, value in Synchformer().state_dict().items()}


def randn(seed, *shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_names_and_shapes_are_those_of_the_published_file():
    lines = golden("synchformer_keys.txt").read_text().splitlines()
    assert sorted(f"{name} {tuple(shape)}" for name, shape in published_shapes().items()) == sorted(lines)


def test_features_and_logits_match_the_reference_implementation(random_weights):
    truth = json.loads(golden("golden.json").read_text())["synchformer"]
    network = shared(load_synchformer, random_weights, CPU)
    assert sum(p.numel() for p in network.parameters()) == truth["params"]
    with torch.inference_mode():
        found = {
            "vfeat": network.see(randn(5, 1, 1, 16, 3, 224, 224)[0]),
            "afeat": network.hear(randn(6, 1, 2, 1, 128, 66)[0, :, 0]),
            "logits": network.compare(randn(7, 2, 14, 8, 768), randn(8, 2, 14, 6, 768)),
        }
    for name, value in found.items():
        assert value.flatten()[:8].tolist() == pytest.approx(truth[name]["first8"], rel=1e-3), name
        assert float(value.double().abs().sum()) == pytest.approx(truth[name]["abs"], rel=1e-4), name
        assert float(value.double().sum()) == pytest.approx(truth[name]["sum"], abs=1e-4 * truth[name]["abs"]), name


@pytest.mark.parametrize("group", ["f", "n"])
def test_divided_attention_sees_its_group_and_the_class_token_only(group):
    steps, patches, width, heads = 8, 196, 8, 2
    layer = DividedAttention(width, heads, group).double()
    x = randn(0, 1, 1 + steps * patches, width).double()
    q, k, v = layer.qkv(x)[0].view(-1, 3, heads, width // heads).unbind(1)
    found = layer(x)[0]
    for token in (0, 1, 250, steps * patches):
        step, patch = divmod(token - 1, patches)
        if token == 0:
            seen = list(range(len(x[0])))
        elif group == "f":
            seen = [0, *(1 + step * patches + n for n in range(patches))]
        else:
            seen = [0, *(1 + f * patches + patch for f in range(steps))]
        each = []
        for head in range(heads):
            weights = torch.softmax(k[seen, head] @ q[token, head] / (width // heads) ** 0.5, dim=0)
            each.append(weights @ v[seen, head])
        torch.testing.assert_close(found[token], layer.proj(torch.cat(each)))


def test_the_classes_are_a_fifth_of_a_second_apart_from_minus_two_to_two():
    assert list(OFFSETS_S) == pytest.approx([0.2 * step - 2 for step in range(21)])


@pytest.mark.parametrize("change", ["missing", "unexpected", "of another shape"])
def test_a_file_that_differs_in_one_tensor_is_refused(tmp_path, change):
    # All of a tensor's values in one: the file is small.
    tensors = {name: torch.zeros(()).expand(shape) for name, shape in published_shapes().items()}
    if change == "missing":
        del tensors["aproj.bias"]
    elif change == "unexpected":
        tensors["aproj.scale"] = torch.zeros(1)
    else:
        tensors["aproj.bias"] = torch.zeros(767)
    path = tmp_path / "synchformer_state_dict.pth"
    torch.save(tensors, path)
    with pytest.raises(UserError, match=rf"1 {change} \(aproj\."):
        load_synchformer(str(path), CPU)
