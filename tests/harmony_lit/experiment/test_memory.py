"""Estimates against bytes that are there."""

from __future__ import annotations

import logging

import pytest
import torch

from harmony_lit.experiment.compose import Experiment, compose
from harmony_lit.experiment.memory import GIB, Need, needs, table, tell, training_need
from harmony_lit.training import AdamW, HarmonyModule, Muon
from harmony_lit.training.ema import EMA
from harmony_lit.training.lora import LoRA
from harmony_lit.training.precision import BFloat16Weights
from tests.harmony_lit.builders import make_model
from tests.harmony_lit.training.test_module import FakeSystem, fit


def nbytes(value) -> int:
    if isinstance(value, torch.Tensor):
        return value.nbytes
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return sum(map(nbytes, inner))


@pytest.mark.parametrize(
    ("optimizer", "adapted", "precision"),
    [(AdamW(), False, "32-true"), (Muon(), False, "bf16-true"), (Muon(), True, "bf16-true")],
)
def test_weights_gradients_optimiser_and_average_are_what_training_holds(tmp_path, optimizer, adapted, precision):
    adapters = {"a": LoRA(["network.video.blocks.*.ffn.*"], rank=2)} if adapted else None
    module = HarmonyModule(FakeSystem(), lambda dims: make_model(), optimizer=optimizer, adapters=adapters)
    module.configure_model()
    ema_node = {"ema": {"class_path": "harmony_lit.training.ema.EMA"}}
    stage = {"trainer": {"precision": precision, "callbacks": ema_node}}
    need = training_need(Experiment({"stages": {"x": stage}}), module, "x").accelerator

    ema = EMA()
    plugins = [BFloat16Weights()] if precision == "bf16-true" else []
    trainer = fit(module, tmp_path, steps=1, callbacks=[ema], plugins=plugins)
    parameters = list(module.parameters())
    own = {id(parameter) for parameter in parameters}
    assert need["weights"] == sum(map(nbytes, [*parameters, *module.buffers()]))
    assert need["gradients"] == sum(p.nbytes for p in parameters if p.requires_grad)
    assert need["optimiser"] == nbytes(trainer.optimizers[0].state_dict())
    assert need["average"] == sum(p.nbytes for p in ema._average_model.module.parameters() if id(p) not in own)


def test_an_experiment_is_counted_without_memory_for_its_values():
    found = needs(
        compose(
            "quickstart",
            ["stages.timbre=null", "stages.joint.start_from=null", "network.init_args.video.init_args.width=4096"],
        )
    )
    assert [need.title for need in found] == ["stage audio", "stage joint", "sampling"]
    assert found[1].accelerator["weights"] > 2 * GIB
    assert found[0].accelerator["gradients"] < found[0].accelerator["weights"] / 10
    assert len(table(found).splitlines()) == 4


def test_offload_leaves_two_layers_on_the_accelerator():
    alone = ["stages.audio=null", "stages.timbre=null", "stages.joint.start_from=null", "network.init_args.depth=8"]
    held = needs(compose("quickstart", alone))[-1].accelerator["weights"]
    less = needs(compose("quickstart", [*alone, "sampling.init_args.offload=true"]))[-1].accelerator
    assert held / 5 < less["weights at work"] < held / 2


def test_too_little_memory_is_told(caplog: pytest.LogCaptureFixture):
    need = Need("stage x", {"weights": 3 * GIB, "gradients": GIB})
    with caplog.at_level(logging.INFO):
        tell(need, available=4 * GIB)
        assert "memory: about 4.00 GiB (weights 3.00, gradients 1.00)" in caplog.text
        assert "the accelerator has" not in caplog.text
        tell(need, available=4 * GIB - 1)
        assert "stage x needs about 4.00 GiB and the accelerator has 4.00" in caplog.text
