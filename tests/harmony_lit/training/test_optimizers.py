from __future__ import annotations

import copy

import pytest
import torch

from harmony_lit.training import AdamW, Constant, Muon, WarmupCosine
from tests.harmony_lit.builders import make_model


def step(model, optimizer, seed):
    g = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=g)
    optimizer.step()


def test_muon_takes_the_matrices_of_the_blocks_and_adamw_the_rest():
    model = make_model(depth=2)
    optimizer = Muon()(model.named_parameters())
    names = {id(p): name for name, p in model.named_parameters()}
    muon, adamw = ({names[id(p)] for p in group["params"]} for group in optimizer.param_groups)
    assert "video.blocks.0.self_attn.q.weight" in muon
    assert "interaction.layers.1.video_to_audio.attn.o.weight" in muon
    assert muon | adamw == set(names.values())
    for name in ("video.patch_embedding.weight", "video.head.head.weight", "audio.blocks.0.latents.modulation"):
        assert name in adamw


def test_muon_and_adamw_together_step_as_each_alone():
    model = make_model(depth=1)
    twin = copy.deepcopy(model)
    step(model, Muon(lr=0.02, adamw_lr=0.003)(model.named_parameters()), 0)
    muon_names = {
        names
        for names, p in twin.named_parameters()
        if p.ndim == 2 and (".blocks." in names or ".layers." in names) and ".transcript." not in names
    }
    hidden = [p for n, p in twin.named_parameters() if n in muon_names]
    others = [p for n, p in twin.named_parameters() if n not in muon_names]
    g = torch.Generator().manual_seed(0)
    for parameter in twin.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=g)
    torch.optim.Muon(hidden, lr=0.02, momentum=0.95, weight_decay=0.0, adjust_lr_fn="match_rms_adamw").step()
    torch.optim.AdamW(others, lr=0.003, betas=(0.9, 0.95), weight_decay=0.0).step()
    for ours, theirs in zip(model.parameters(), twin.parameters(), strict=True):
        # The iteration runs in bfloat16, batched and alone with other roundings.
        torch.testing.assert_close(ours, theirs, atol=2e-4, rtol=1e-3)


@pytest.mark.parametrize("factory", [Muon(), AdamW(lr=1e-2)])
def test_a_restored_optimizer_goes_on_bit_for_bit(factory):
    model = make_model(depth=1)
    optimizer = factory(model.named_parameters())
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, WarmupCosine(10, 2))
    for seed in range(3):
        step(model, optimizer, seed)
        scheduler.step()
    twin = copy.deepcopy(model)
    restored = factory(twin.named_parameters())
    other = torch.optim.lr_scheduler.LambdaLR(restored, WarmupCosine(10, 2))
    restored.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    other.load_state_dict(scheduler.state_dict())
    for seed in range(3, 6):
        step(model, optimizer, seed)
        scheduler.step()
        step(twin, restored, seed)
        other.step()
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), twin.parameters(), strict=True))


def test_schedules_reach_both_parts():
    model = make_model(depth=1)
    optimizer = Muon(lr=0.2, adamw_lr=0.1)(model.named_parameters())
    torch.optim.lr_scheduler.LambdaLR(optimizer, Constant(warmup_steps=3))
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.05, 0.025])


def test_the_cosine_warms_up_and_ends_at_its_floor():
    schedule = WarmupCosine(100, 10, floor=0.1)
    assert schedule(0) < schedule(5) < schedule(10) == pytest.approx(1.0)
    assert schedule(100) == pytest.approx(0.1) == schedule(1000)


def test_muon_without_matrices_is_refused():
    with pytest.raises(ValueError, match="use AdamW"):
        Muon()([("bias", torch.nn.Parameter(torch.zeros(3)))])
