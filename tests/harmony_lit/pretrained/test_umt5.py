"""umT5's two published layouts and transformers' names are one network."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from transformers import UMT5EncoderModel

from harmony_lit.encoders.umt5 import UMT5Size
from harmony_lit.pretrained.umt5 import rename, rename_transformers, restore

SMALL = UMT5Size(vocab_size=96, dim=32, heads=4, head_dim=8, ffn_width=48, layers=3)


@pytest.mark.parametrize(
    ("published", "ours"),
    [
        ("token_embedding.weight", "shared.weight"),
        ("norm.weight", "encoder.final_layer_norm.weight"),
        ("blocks.0.norm1.weight", "encoder.block.0.layer.0.layer_norm.weight"),
        ("blocks.23.attn.q.weight", "encoder.block.23.layer.0.SelfAttention.q.weight"),
        ("blocks.7.attn.o.weight", "encoder.block.7.layer.0.SelfAttention.o.weight"),
        (
            "blocks.1.pos_embedding.embedding.weight",
            "encoder.block.1.layer.0.SelfAttention.relative_attention_bias.weight",
        ),
        ("blocks.2.norm2.weight", "encoder.block.2.layer.1.layer_norm.weight"),
        ("blocks.3.ffn.gate.0.weight", "encoder.block.3.layer.1.DenseReluDense.wi_0.weight"),
        ("blocks.3.ffn.fc1.weight", "encoder.block.3.layer.1.DenseReluDense.wi_1.weight"),
        ("blocks.3.ffn.fc2.weight", "encoder.block.3.layer.1.DenseReluDense.wo.weight"),
    ],
)
def test_names_of_the_original_file(published, ours):
    assert rename(published) == ours
    assert restore(ours) == published


@pytest.mark.parametrize("name", ["blocks.0.attn.bias", "blocks.x.attn.q.weight", "head.weight", ""])
def test_unknown_names_come_back_as_they_are(name):
    assert rename(name) == restore(name) == name


def test_transformers_files_may_name_the_embedding_twice_and_bring_a_decoder():
    assert rename_transformers("shared.weight") == rename_transformers("encoder.embed_tokens.weight") == "shared.weight"
    assert rename_transformers("decoder.block.0.layer.0.SelfAttention.q.weight") is None
    assert rename_transformers("lm_head.weight") is None
    kept = "encoder.block.0.layer.0.SelfAttention.q.weight"
    assert rename_transformers(kept) == kept


def original_shapes(size: UMT5Size) -> dict[str, tuple[int, ...]]:
    """What the original file must hold, written from Wan's own code."""
    inner = size.heads * size.head_dim
    shapes: dict[str, tuple[int, ...]] = {"token_embedding.weight": (size.vocab_size, size.dim)}
    for n in range(size.layers):
        shapes |= {f"blocks.{n}.norm{k}.weight": (size.dim,) for k in (1, 2)}
        shapes |= {f"blocks.{n}.attn.{k}.weight": (inner, size.dim) for k in "qkv"}
        shapes[f"blocks.{n}.attn.o.weight"] = (size.dim, inner)
        shapes[f"blocks.{n}.pos_embedding.embedding.weight"] = (32, size.heads)
        shapes |= {f"blocks.{n}.ffn.{k}.weight": (size.ffn_width, size.dim) for k in ("gate.0", "fc1")}
        shapes[f"blocks.{n}.ffn.fc2.weight"] = (size.dim, size.ffn_width)
    return shapes | {"norm.weight": (size.dim,)}


@pytest.mark.parametrize("size", [SMALL, UMT5Size()])
def test_every_key_and_shape_maps_one_to_one(size):
    model = size.build()
    assert all(value.is_meta for value in model.state_dict().values())
    ours = {name: tuple(value.shape) for name, value in model.named_parameters()}
    published = original_shapes(size)
    assert {rename(name): shape for name, shape in published.items()} == ours
    assert {restore(name): shape for name, shape in ours.items()} == published


def test_umt5_xxl_has_as_many_weights_as_it_says():
    count = sum(weight.numel() for weight in UMT5Size().build().parameters())
    assert count == sum(math.prod(shape) for shape in original_shapes(UMT5Size()).values()) == 5_680_910_336


def rms_norm(x: Tensor, weight: Tensor) -> Tensor:
    return x / (x.square().mean(-1, keepdim=True) + 1e-6).sqrt() * weight


def bucket(distance: int) -> int:
    """T5's bucket of a key that lies ``distance`` tokens behind the query; 32 buckets, 128 tokens."""
    base, distance = (16 if distance > 0 else 0), abs(distance)
    if distance < 8:
        return base + distance
    return base + min(15, 8 + int(math.log(distance / 8) / math.log(128 / 8) * 8))


def slow_encode(w: dict[str, Tensor], ids: list[int], heads: int) -> Tensor:
    """Wan's T5 encoder on one caption without padding, from the names of its file alone: (L,) -> (L, D)."""
    x = w["token_embedding.weight"][ids]
    length = len(ids)
    buckets = torch.tensor([[bucket(key - query) for key in range(length)] for query in range(length)])
    for n in range(max(int(name.split(".")[1]) for name in w if name.startswith("blocks.")) + 1):
        b = {name.removeprefix(f"blocks.{n}.").removesuffix(".weight"): value for name, value in w.items()}
        y = rms_norm(x, b["norm1"])
        q, k, v = ((y @ b[f"attn.{name}"].T).reshape(length, heads, -1) for name in "qkv")
        scores = torch.einsum("ihd,jhd->ijh", q, k) + b["pos_embedding.embedding"][buckets]
        mixed = torch.einsum("ijh,jhd->ihd", scores.softmax(dim=1), v)
        x = x + mixed.reshape(length, -1) @ b["attn.o"].T
        y = rms_norm(x, b["norm2"])
        gate = torch.nn.functional.gelu(y @ b["ffn.gate.0"].T, approximate="tanh")
        x = x + (gate * (y @ b["ffn.fc1"].T)) @ b["ffn.fc2"].T
    return rms_norm(x, w["norm.weight"])


def test_transformers_computes_what_the_original_names_mean():
    model = UMT5EncoderModel(SMALL.build().config).double().eval()
    generator = torch.Generator().manual_seed(0)
    for weight in model.parameters():
        weight.data.copy_(torch.randn(weight.shape, generator=generator) * 0.3)
    original = {restore(name): value for name, value in model.named_parameters()}
    ids = torch.randint(0, SMALL.vocab_size, (150,), generator=generator)
    expected = slow_encode(original, ids.tolist(), SMALL.heads)
    found = model(input_ids=ids[None], attention_mask=torch.ones(1, 150)).last_hidden_state[0]
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)  # transformers squares in float32
