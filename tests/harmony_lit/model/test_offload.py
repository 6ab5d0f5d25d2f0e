from __future__ import annotations

import pytest
import torch

from harmony_lit.model.offload import Offload
from tests.harmony_lit.builders import make_batch, make_model


class Recorder:
    """A device that writes down what it is asked for, and whose copies are ruined once they have left."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.there: set[int] = set()
        self.most = 0

    def fetch(self, layer, tensors):
        self.told.append(f"fetch {layer}")
        self.there.add(layer)
        self.most = max(self.most, len(self.there))
        return [tensor.clone() for tensor in tensors]

    def wait(self, layer):
        assert layer in self.there
        self.told.append(f"wait {layer}")

    def leave(self, layer, tensors):
        self.told.append(f"leave {layer}")
        self.there.remove(layer)
        for tensor in tensors:
            tensor.fill_(torch.nan)


def predict(model, alone=False):
    batch, t = make_batch(), torch.tensor([0.3, 0.8])
    with torch.no_grad():
        return model(None if alone else batch.video, batch.audio, t, t, batch.conditions)


@pytest.mark.parametrize("alone", [False, True])
def test_the_forward_is_the_same_to_the_last_bit_twice(alone):
    expected = predict(make_seeded(), alone)
    recorder = Recorder()
    model = make_seeded().place("cpu", offload=True, through=recorder)
    for _ in range(2):
        found = predict(model, alone)
        assert torch.equal(found.audio, expected.audio)
        assert alone or torch.equal(found.video, expected.video)
    assert recorder.most == 2


def test_the_next_layer_is_on_its_way_while_one_works():
    recorder = Recorder()
    model = make_seeded(depth=3).place("cpu", offload=True, through=recorder)
    predict(model)
    assert recorder.told == [
        "fetch 0", "wait 0", "fetch 1",
        "leave 0", "wait 1", "fetch 2",
        "leave 1", "wait 2", "fetch 0",
    ]  # fmt: skip


def test_every_tensor_of_a_layer_travels_and_no_other():
    recorder = Recorder()
    model = make_seeded(depth=3)
    model.place("cpu", offload=True, through=recorder)
    travelling = {name for name, p in model.named_parameters() if p.data_ptr() in homes(model._offload)}
    layered = (".blocks.", "interaction.layers.", "style.layers.")
    expected = {n for n, _ in model.named_parameters() if any(part in f".{n}" for part in layered)}
    assert travelling == {name for name in expected if "transcript" not in name}


def homes(offload: Offload) -> set[int]:
    return {tensor.data_ptr() for home in offload._home for tensor in home}


def test_without_an_accelerator_it_changes_nothing():
    model = make_seeded()
    before = {name: p.data_ptr() for name, p in model.named_parameters()}
    model.place("cpu", offload=True)
    predict(model)
    assert {name: p.data_ptr() for name, p in model.named_parameters()} == before


def test_training_is_refused():
    model = make_seeded().place("cpu", offload=True)
    batch, t = make_batch(), torch.tensor([0.3, 0.8])
    with pytest.raises(RuntimeError, match="cannot be trained"):
        model(batch.video, batch.audio, t, t, batch.conditions)


def make_seeded(**settings):
    torch.manual_seed(0)
    return make_model(**settings)
