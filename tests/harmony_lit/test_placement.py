"""Frozen networks go to work and home again."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from harmony_lit.placement import at_work, resolve_device


class Traveller(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.places: list[str] = []

    def to(self, device):
        self.places.append(str(device))
        return self

    def cpu(self):
        return self.to("home")


@pytest.mark.parametrize(("offload", "places"), [(False, ["cpu"]), (True, ["cpu", "home"])])
def test_home_again_if_asked(offload, places):
    network = Traveller()
    with at_work(network, "cpu", offload) as working:
        assert working is network
    assert network.places == places


def test_home_again_after_a_failure():
    network = Traveller()
    with pytest.raises(RuntimeError, match="broken"), at_work(network, "cpu", offload=True):
        raise RuntimeError("broken")
    assert network.places == ["cpu", "home"]


def test_own_precision_at_work():
    network = nn.Linear(2, 2)
    with torch.autocast("cpu", torch.bfloat16), at_work(network, "cpu", offload=False):
        assert network(torch.ones(1, 2)).dtype == torch.float32


def test_the_cpu_where_there_is_no_accelerator(monkeypatch):
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda check_available=False: None)
    assert resolve_device(None) == torch.device("cpu")
    assert resolve_device("meta") == torch.device("meta")
