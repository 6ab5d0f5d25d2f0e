from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from harmony_lit.perf.parts import PARTS, part_of, time_by_part


@pytest.mark.parametrize(
    ("name", "shapes", "parents", "part"),
    [
        ("aten::mm", [[8, 16], [16, 64]], [], "ffn"),
        ("aten::addmm", [[16], [8, 16], [16, 16]], [], "projections"),
        ("aten::gelu_backward", [[8, 64]], ["GeluBackward0"], "ffn"),
        ("aten::_scaled_dot_product_flash_attention_for_cpu", [], [], "attention"),
        ("aten::mul", [[8, 16], [8, 16]], ["_RMSNormBackward"], "norm"),
        ("aten::mul", [[8, 16], [8, 16]], ["MulBackward0"], "modulation, rotary, residual"),
        ("aten::empty", [], [], "the rest"),
    ],
)
def test_an_operator_belongs_to_its_part(name, shapes, parents, part):
    assert part_of(name, shapes, 64, parents) == part and part in PARTS


def test_a_profile_is_told_by_part():
    x, up, square = torch.randn(256, 128), torch.randn(512, 128), torch.randn(128, 128)
    seconds = time_by_part(lambda: (F.linear(x, up), F.linear(x, square), F.layer_norm(x, (128,))), 512)
    assert set(seconds) == set(PARTS)
    assert all(seconds[part] > 0 for part in ("ffn", "projections", "norm")) and seconds["attention"] == 0
