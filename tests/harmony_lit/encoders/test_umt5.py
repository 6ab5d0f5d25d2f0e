"""The umT5 encoder is transformers' network on Wan's captions, whatever layout its weights come in."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

import pytest
import safetensors.torch
import torch
from jsonargparse import ArgumentParser
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from transformers import UMT5EncoderModel, UMT5ForConditionalGeneration

from harmony_lit.encoders.base import TextEncoder
from harmony_lit.encoders.cached import CachedTextEncoder
from harmony_lit.encoders.umt5 import UMT5Size, UMT5TextEncoder, clean_caption
from harmony_lit.errors import UserError
from harmony_lit.experiment.compose import compose
from harmony_lit.experiment.verify import fit_to
from harmony_lit.pretrained.convert import plan, write
from harmony_lit.pretrained.layouts import detect
from harmony_lit.pretrained.source import open_weights
from harmony_lit.pretrained.umt5 import UMT5_ORIGINAL, UMT5_TRANSFORMERS, restore

EXPERIMENTS = Path(__file__).resolve().parents[3] / "experiments"
SIZE = UMT5Size(vocab_size=128, dim=32, heads=4, head_dim=8, ffn_width=48, layers=3)
CAPTIONS = [
    "A wooden ball bounces on a table.",
    "",
    "  Rain &amp; wind,\n a dog barks in the night while it pours  ",
    "雨",
]


def train_tokenizer(path: Path, end: bool = True, vocab_size: int = 120) -> Path:
    """A small unigram tokenizer with T5's special tokens, trained on the spot."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=vocab_size, special_tokens=["<pad>", "</s>", "<unk>"], unk_token="<unk>", show_progress=False
    )
    tokenizer.train_from_iterator([*CAPTIONS, "A steel drum rings twice.", "Somebody says seven."] * 4, trainer)
    if end:
        tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    tokenizer.save(str(path))
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Weights of one random umT5 in every layout, and a tokenizer."""
    folder = tmp_path_factory.mktemp("umt5")
    torch.manual_seed(0)
    model = UMT5EncoderModel(SIZE.build().config)
    for weight in model.parameters():
        weight.data.normal_(std=0.3)
    torch.save(
        {restore(name): value.detach().clone() for name, value in model.named_parameters()}, folder / "original.pth"
    )
    model.save_pretrained(folder / "transformers")
    model.save_pretrained(folder / "sharded", max_shard_size="20KB")
    twice = {name: value.clone() for name, value in model.state_dict().items()}
    safetensors.torch.save_file(twice, folder / "twice.safetensors")
    whole = UMT5ForConditionalGeneration(model.config)
    whole.load_state_dict(model.state_dict(), strict=False)
    torch.save(whole.state_dict(), folder / "whole.bin")
    train_tokenizer(folder / "tokenizer.json")
    return folder


LAYOUTS = ("original.pth", "transformers", "sharded", "twice.safetensors", "whole.bin")


def make(folder: Path, weights: str = "original.pth", **settings) -> UMT5TextEncoder:
    settings = {
        "size": SIZE,
        "precision": "fp32",
        "device": "cpu",
        "tokenizer": str(folder),
        "fix_text": False,
    } | settings
    return UMT5TextEncoder(str(folder / weights), **settings)


@torch.inference_mode()
def reference(folder: Path, captions: list[str]) -> torch.Tensor:
    """transformers' own loading, masking and tokenising: (B, L, D) with zeros behind."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_padding(pad_id=0)
    encoded = tokenizer.encode_batch([clean_caption(caption, fix_text=False) for caption in captions])
    ids, mask = torch.tensor([e.ids for e in encoded]), torch.tensor([e.attention_mask for e in encoded])
    model = UMT5EncoderModel.from_pretrained(folder / "transformers", dtype=torch.float32).eval()
    return model(input_ids=ids, attention_mask=mask).last_hidden_state * mask[..., None]


@pytest.mark.parametrize("weights", LAYOUTS)
def test_every_layout_gives_what_transformers_gives_bit_for_bit(folder, weights):
    encoder = make(folder, weights)
    assert isinstance(encoder, TextEncoder)
    embeds = encoder.encode(CAPTIONS)
    assert embeds.x.dtype == torch.float32
    assert embeds.x.abs().sum() > 0
    assert torch.equal(embeds.x, reference(folder, CAPTIONS))


def test_conversion_to_transformers_and_back_changes_no_bit(folder, tmp_path):
    original = open_weights(folder / "original.pth")
    write(plan(original, detect(original), UMT5_TRANSFORMERS), tmp_path / "model.safetensors", max_shard_bytes=10**9)
    SIZE.build().config.save_pretrained(tmp_path)
    theirs = UMT5EncoderModel.from_pretrained(tmp_path, dtype=torch.float32).eval()
    tokens = make(folder).tokenize(CAPTIONS)
    with torch.inference_mode():
        hidden = theirs(input_ids=tokens.ids, attention_mask=tokens.mask).last_hidden_state
    assert torch.equal(hidden * tokens.mask[..., None], make(folder).encode(CAPTIONS).x)

    converted = open_weights(tmp_path / "model.safetensors")
    write(plan(converted, detect(converted), UMT5_ORIGINAL), tmp_path / "back.safetensors", max_shard_bytes=10**9)
    back = safetensors.torch.load_file(tmp_path / "back.safetensors")
    assert back.keys() == original.shapes.keys()
    assert all(torch.equal(value, original.read(name)) for name, value in back.items())


def test_a_caption_does_not_depend_on_its_batch(folder):
    together = make(folder).encode(CAPTIONS)
    for batch_size in (1, 3):
        torch.testing.assert_close(make(folder, batch_size=batch_size).encode(CAPTIONS).x, together.x)
    for row, caption in enumerate(CAPTIONS):
        alone = make(folder).encode([caption])
        length = int(together.mask[row].sum())
        assert alone.mask.tolist() == [[True] * length]
        torch.testing.assert_close(alone.x[0], together.x[row, :length])
        assert not together.x[row, length:].any()


def test_the_empty_caption_is_the_end_token_and_no_captions_are_no_rows(folder):
    encoder = make(folder)
    assert encoder.tokenize([""]).ids.tolist() == [[1]]
    assert encoder.encode([]).x.shape == (0, 1, 32)


def test_long_captions_are_cut_but_keep_their_end(folder):
    tokens = make(folder, max_tokens=6).tokenize(["rain and wind " * 50])
    assert tokens.ids.shape == (1, 6)
    assert tokens.ids[0, -1] == 1


def test_autocast_of_the_caller_does_not_count(folder):
    encoder = make(folder)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = encoder.encode(CAPTIONS)
    assert torch.equal(inside.x, encoder.encode(CAPTIONS).x)


def test_weights_outlive_the_inference_mode_of_the_caller(folder):
    encoder = make(folder)
    with torch.inference_mode():
        embeds = encoder.encode(CAPTIONS)
    assert not embeds.x.is_inference() and not embeds.x.requires_grad
    assert not any(weight.is_inference() or weight.requires_grad for weight in encoder._model.parameters())


def test_weights_are_held_once_and_in_the_type_asked_for(folder):
    encoder = make(folder, precision="bf16")
    embeds = encoder.encode(CAPTIONS)
    assert embeds.x.dtype == torch.float32
    model = encoder._model
    assert {weight.dtype for weight in model.parameters()} == {torch.bfloat16}
    assert model.shared.weight is model.encoder.embed_tokens.weight
    exact = make(folder).encode(CAPTIONS).x
    assert 0 < (embeds.x - exact).norm() < 0.05 * exact.norm()


@pytest.mark.parametrize(("offload", "held"), [("keep", True), ("cpu", True), ("free", False)])
def test_after_release_the_next_caption_is_the_same(folder, offload, held):
    encoder = make(folder, offload=offload)
    encoder.release()
    before = encoder.encode(CAPTIONS)
    encoder.release()
    assert (encoder._model is not None) == held
    assert torch.equal(encoder.encode(CAPTIONS).x, before.x)


def test_nothing_is_read_before_the_first_caption_and_nothing_built_for_the_fingerprint(tmp_path, folder):
    absent = UMT5TextEncoder(str(tmp_path / "no.pth"), str(tmp_path))
    assert (absent.dim, absent.max_tokens) == (4096, 512)
    encoder = make(folder)
    assert encoder.fingerprint
    assert encoder._model is None


def test_cached_captions_never_build_the_network(folder, tmp_path):
    first = CachedTextEncoder(make(folder), str(tmp_path)).encode(CAPTIONS)
    inner = make(folder)
    second = CachedTextEncoder(inner, str(tmp_path)).encode(CAPTIONS)
    assert torch.equal(first.x, second.x) and torch.equal(first.mask, second.mask)
    assert inner._model is None and inner._tokenizer is None


def test_the_fingerprint_is_the_same_in_every_layout_and_wherever_it_runs(folder):
    expected = make(folder).fingerprint
    assert {make(folder, weights).fingerprint for weights in LAYOUTS} == {expected}
    assert make(folder, offload="free", batch_size=2).fingerprint == expected


def test_what_changes_embeddings_changes_the_fingerprint(folder, tmp_path):
    original = torch.load(folder / "original.pth", weights_only=True)
    original["blocks.1.ffn.fc2.weight"][-1, -1] += 1
    torch.save(original, tmp_path / "tuned.pth")
    train_tokenizer(tmp_path / "tokenizer.json", vocab_size=100)
    encoders = [
        make(folder),
        make(tmp_path, "tuned.pth", tokenizer=str(folder)),
        make(folder, tokenizer=str(tmp_path)),
        make(folder, max_tokens=8),
        make(folder, precision="bf16"),
        make(folder, fix_text=True),
    ]
    assert len({encoder.fingerprint for encoder in encoders}) == len(encoders)


def test_missing_weights_and_tokenizer_name_the_file_and_its_publisher(folder, tmp_path):
    with pytest.raises(UserError, match=r"no umT5 weights at .*absent\.pth.*models_t5_umt5-xxl-enc-bf16\.pth.*Wan-AI"):
        make(folder, "absent.pth").encode(["rain"])
    with pytest.raises(UserError, match=r"no umT5 tokenizer at .*tokenizer\.json.*google/umt5-xxl.*Wan-AI"):
        make(folder, tokenizer=str(tmp_path)).encode(["rain"])


def test_weights_of_something_else_are_refused(folder, tmp_path):
    wan = {"text_embedding.0.weight": (2, 2), "blocks.0.self_attn.q.weight": (2, 2), "head.modulation": (1, 2, 2)}
    wan |= {"patch_embedding.weight": (2, 2, 1, 2, 2), "blocks.0.modulation": (1, 6, 2)}
    torch.save({name: torch.zeros(shape) for name, shape in wan.items()}, tmp_path / "wan.pth")
    with pytest.raises(UserError, match=r"holds wan-original .* not umT5.*models_t5"):
        make(tmp_path, "wan.pth", tokenizer=str(folder)).encode(["rain"])


def test_weights_of_another_size_are_told_apart_and_nothing_is_kept(folder):
    encoder = make(folder, size=UMT5Size(vocab_size=128, dim=32, heads=4, head_dim=8, ffn_width=64, layers=3))
    with pytest.raises(UserError, match=r"do not fit.*\(48, 32\) instead of \(64, 32\)"):
        encoder.encode(["rain"])
    assert encoder._model is None


def test_another_tokenizer_is_refused(folder, tmp_path):
    path = train_tokenizer(tmp_path / "tokenizer.json", end=False)
    with pytest.raises(UserError, match="does not close captions"):
        make(folder, tokenizer=str(path)).tokenize(["rain"])
    with pytest.raises(UserError, match="tokens for an embedding of 16"):
        make(folder, size=UMT5Size(vocab_size=16)).tokenize(["rain"])


def test_an_unreadable_tokenizer_is_one_sentence(folder, tmp_path):
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(UserError, match="not a readable tokenizer"):
        make(folder, tokenizer=str(tmp_path)).tokenize(["rain"])


def test_captions_are_cleaned_as_wan_cleans_them():
    pytest.importorskip("ftfy")
    assert clean_caption(" “Tom &amp;amp; Jerry”\n\t run ") == '"Tom & Jerry" run'
    assert clean_caption("the cafÃ©，ＡＢＣ") == "the café,ABC"
    assert clean_caption(" “Tom &amp;amp; Jerry”\n\t run ", fix_text=False) == "“Tom & Jerry” run"


def test_without_ftfy_one_sentence_says_what_to_do(monkeypatch):
    monkeypatch.setitem(sys.modules, "ftfy", None)
    assert clean_caption("rain  ", fix_text=False) == "rain"
    with pytest.raises(UserError, match=r"ftfy.*pip install.*fix_text"):
        clean_caption("rain")


@pytest.mark.parametrize("settings", [{"max_tokens": 1}, {"batch_size": 0}])
def test_impossible_settings_are_refused(folder, settings):
    with pytest.raises(ValueError, match=next(iter(settings))):
        make(folder, **settings)


def test_comes_out_of_class_paths_within_a_cache(folder, tmp_path):
    inner = {"weights": str(folder / "original.pth"), "tokenizer": str(folder), "size": {"dim": 32}, "offload": "free"}
    config = {
        "class_path": "harmony_lit.encoders.cached.CachedTextEncoder",
        "init_args": {
            "folder": str(tmp_path),
            "encoder": {"class_path": "harmony_lit.encoders.umt5.UMT5TextEncoder", "init_args": inner},
        },
    }
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--encoder", type=TextEncoder)
    encoder = parser.instantiate(parser.parse_object({"encoder": config})).encoder
    assert isinstance(encoder, CachedTextEncoder)
    assert encoder.dim == encoder.encoder.dim == 32


def test_the_weights_can_be_held_against_an_experiment_before_it_runs(folder, tmp_path):
    inner = {"weights": "weights.pth", "tokenizer": "tokenizer", "size": asdict(SIZE)}
    encoder = {"class_path": "harmony_lit.encoders.umt5.UMT5TextEncoder", "init_args": inner}
    cached = {"class_path": "harmony_lit.encoders.cached.CachedTextEncoder"}
    cached["init_args"] = {"encoder": encoder, "folder": str(tmp_path)}
    experiment = tmp_path / "mine.yaml"
    content = {"extends": [str(EXPERIMENTS / "quickstart.yaml")], "system": {"init_args": {"text_encoder": cached}}}
    experiment.write_text(json.dumps(content))
    fitting = fit_to(compose(str(experiment)), open_weights(folder / "original.pth"))
    assert fitting.comparison.problems() == ""
    assert len(fitting.comparison.placed) == 2 + 10 * SIZE.layers
