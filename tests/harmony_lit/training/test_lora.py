from __future__ import annotations

import pytest
import torch

from harmony_lit.errors import UserError
from harmony_lit.pretrained.adapters import adapter_tensors, merging, plain
from harmony_lit.pretrained.layouts import HARMONY
from harmony_lit.pretrained.load import Piece, load_pieces
from harmony_lit.pretrained.save import save_file
from harmony_lit.pretrained.source import Tensors
from harmony_lit.training import AdamW, HarmonyModule, Muon
from harmony_lit.training.ema import EMA
from harmony_lit.training.lora import LoRA, attach, expand
from harmony_lit.training.precision import BFloat16Weights
from tests.harmony_lit.builders import make_batch, make_model
from tests.harmony_lit.training.test_module import FakeSystem, fit

VIDEO = "network.video.blocks.*.self_attn.{q,k,v,o}"
AUDIO = ["network.audio.blocks.*.{latents,text}.attn.[kv]", "network.interaction.*.o"]


def make_module(optimizer=None, **settings):
    settings.setdefault(
        "adapters", {"video": LoRA([VIDEO], rank=2), "audio": LoRA(AUDIO, rank=3, alpha=6, train_also=["*.head.*"])}
    )
    return HarmonyModule(FakeSystem(), lambda dims: make_model(), optimizer=optimizer or AdamW(1e-2), **settings)


def predict(module):
    batch = make_batch()
    t = torch.tensor([0.3, 0.8])
    with torch.no_grad():
        return module.network(batch.video, batch.audio, t, t, batch.conditions)


def test_braces_stand_for_either():
    assert expand("a.{q,k}.{0, 2}") == ["a.q.0", "a.q.2", "a.k.0", "a.k.2"]


def test_adapters_change_nothing_before_training():
    module = make_module()
    before = predict(module)
    module.configure_model()
    after = predict(module)
    torch.testing.assert_close(after.video, before.video, rtol=0, atol=3e-6)
    torch.testing.assert_close(after.audio, before.audio, rtol=0, atol=3e-6)


@pytest.mark.parametrize("optimizer", [AdamW(1e-2), Muon()])
def test_the_frozen_base_does_not_change_by_a_bit_and_every_adapter_does(tmp_path, optimizer):
    module = make_module(optimizer)
    module.configure_model()
    before = {name: p.clone() for name, p in module.named_parameters()}
    trained = {name for name, p in module.named_parameters() if p.requires_grad}
    ranks = {name: p.shape[0] for name, p in module.named_parameters() if ".lora_A." in name}
    assert {r for n, r in ranks.items() if ".video." in n and "interaction" not in n} == {2}
    assert {r for n, r in ranks.items() if ".network.audio." in f".{n}"} == {3}
    assert {name for name in trained if ".lora_" not in name} == {n for n in before if ".head." in n}
    fit(module, tmp_path, callbacks=[EMA(0.5)])
    changed = {name for name, p in module.named_parameters() if not torch.equal(p, before[name])}
    assert changed == trained


def test_the_average_keeps_what_is_frozen_once(tmp_path):
    module, ema = make_module(), EMA(0.5)
    fit(module, tmp_path, callbacks=[ema])
    average = dict(ema._average_model.module.named_parameters())
    for name, parameter in module.named_parameters():
        assert (average[name] is parameter) == (not parameter.requires_grad)


def test_merged_weights_give_the_adapted_models_numbers_in_the_plain_layout(tmp_path):
    module = make_module()
    fit(module, tmp_path)
    source = Tensors(tmp_path, module.state_dict())
    plain = make_module(adapters=None)
    load_pieces(plain, [Piece(source, merging(HARMONY, module._lora["scale"]))])
    adapted, merged = predict(module), predict(plain)
    torch.testing.assert_close(adapted.video, merged.video, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(adapted.audio, merged.audio, rtol=1e-4, atol=1e-5)


def test_peft_reads_the_adapters_file(tmp_path):
    from peft import PeftModel

    module = make_module()
    fit(module, tmp_path)
    tensors = adapter_tensors(module.state_dict(), "network")
    save_file(tmp_path / "adapter" / "adapter_model.safetensors", tensors, tensors.__getitem__)
    (tmp_path / "adapter" / "adapter_config.json").write_text(module._lora["config"])
    base = make_module(adapters=None)
    base.load_state_dict({plain(name): p for name, p in module.named_parameters() if ".lora_" not in name})
    expected = predict(module)
    base.network = PeftModel.from_pretrained(base.network, tmp_path / "adapter")
    found = predict(base)
    torch.testing.assert_close(found.video, expected.video)
    torch.testing.assert_close(found.audio, expected.audio)


@pytest.mark.parametrize(
    ("adapters", "said"),
    [
        ({"a": LoRA(["network.video.blocks.*.self_atn.q"])}, "Did you mean 'network.video.blocks.*.self_attn.q'?"),
        ({"a": LoRA([VIDEO], train_also=["network.style.*.gain"])}, "train_also: 'network.style.*.gain' matches no"),
        ({"a": LoRA([VIDEO]), "b": LoRA(["network.video.blocks.0.*.q"])}, "has an adapter already, that of 'a'"),
        ({"a": LoRA([])}, "targets names no layer"),
    ],
)
def test_a_wrong_pattern_is_one_sentence(adapters, said):
    with pytest.raises(UserError) as caught:
        make_module(adapters=adapters).configure_model()
    assert said in str(caught.value) and "\n" not in str(caught.value)


def test_the_same_seed_draws_the_same_adapters_whatever_was_drawn_before():
    one, other, third = make_module(), make_module(), make_module()
    attach(one, one.adapters, seed=1)
    torch.rand(5)
    attach(other, other.adapters, seed=1)
    attach(third, third.adapters, seed=2)
    name = "network.video.blocks.0.self_attn.q.lora_A.default.weight"
    assert torch.equal(one.get_parameter(name), other.get_parameter(name))
    assert not torch.equal(one.get_parameter(name), third.get_parameter(name))


@pytest.mark.parametrize(("adapted", "optimizer"), [(False, Muon()), (True, AdamW(1e-3))])
def test_weights_in_bfloat16_train_and_stay_finite(tmp_path, adapted, optimizer):
    module = make_module(optimizer) if adapted else make_module(optimizer, adapters=None)
    ema = EMA(0.9)
    trainer = fit(module, tmp_path, steps=4, plugins=[BFloat16Weights()], callbacks=[ema], val_check_interval=2)
    types = {name: p.dtype for name, p in module.named_parameters()}
    kept = {name for name, dtype in types.items() if dtype == torch.float32}
    assert {"network.video.blocks.0.modulation", "network.video.time_embedding.0.weight"} <= kept
    assert types["network.video.blocks.0.norm3.weight"] == torch.float32
    assert types["network.audio.head.head.weight"] == torch.bfloat16
    assert all(torch.float32 == dtype for name, dtype in types.items() if ".lora_" in name)
    assert all(p.isfinite().all() for p in module.parameters())
    assert torch.isfinite(trainer.callback_metrics["train/loss"])
    assert all(p.dtype == torch.float32 for p in ema._average_model.module.parameters() if p.requires_grad)
