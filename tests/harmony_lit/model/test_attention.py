from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from harmony_lit.errors import UserError
from harmony_lit.model.attention import PLAIN_ATTENTION_MAX_TOKENS, attention
from harmony_lit.model.layers import mask_bias
from tests.harmony_lit.builders import make_batch, make_model


def test_plain_attention_is_the_fused_kernels():
    q, k, v = (torch.randn(2, 3, n, 8) for n in (5, 7, 7))
    bias = mask_bias(torch.rand(2, 1, 5, 7) > 0.5)
    expected = F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
    torch.testing.assert_close(attention(q, k, v, bias), expected)
    long = torch.randn(1, 1, PLAIN_ATTENTION_MAX_TOKENS + 1, 4)
    torch.testing.assert_close(attention(long, long, long), F.scaled_dot_product_attention(long, long, long))


@pytest.mark.parametrize("backend", ["flash", "math"])
@pytest.mark.parametrize("masked", [False, True])
def test_every_kernel_gives_the_same(backend, masked):
    q, k, v = (torch.randn(2, 3, n, 8) for n in (5, 7, 7))
    bias = mask_bias(torch.rand(2, 1, 5, 7) > 0.5) if masked else None
    torch.testing.assert_close(attention(q, k, v, bias, backend), attention(q, k, v, bias), atol=1e-5, rtol=1e-4)


def test_a_kernel_is_really_the_one_asked_for():
    q = torch.randn(1, 1, 5, 8)
    with torch.profiler.profile() as profile:
        attention(q, q, q, backend="flash")
    assert any("flash_attention" in event.name for event in profile.events())


@pytest.mark.parametrize("backend", ["efficient", "cudnn"])
def test_a_kernel_that_the_device_lacks_is_refused_in_a_sentence(backend):
    q = torch.randn(1, 1, 5, 8)
    with pytest.raises(UserError, match="attention_backend.*CUDA"):
        attention(q, q, q, backend=backend)


def test_the_towers_setting_reaches_its_attentions_and_changes_no_number_that_counts():
    plain, flash = make_model(), make_model(video_parts={"attention_backend": "flash"})
    flash.load_state_dict(plain.state_dict())
    assert {b.self_attn.backend for b in flash.video.layers} == {"flash"}
    batch, t = make_batch(), torch.tensor([0.3, 0.8])
    with torch.no_grad():
        one, other = (m(batch.video, batch.audio, t, t, batch.conditions).video for m in (plain, flash))
    torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)
