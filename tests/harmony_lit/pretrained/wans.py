"""Wan's transformer in both implementations, small or as large as the published one; tests import it as ``wans``."""

import torch
from diffusers import WanTransformer3DModel
from torch import nn

from harmony_lit.model.video import VideoDims, VideoTower


def theirs(heads: int = 2, head_width: int = 12, depth: int = 2, ffn: int = 40, channels: int = 4, text: int = 10):
    """Diffusers' model with random values everywhere."""
    torch.manual_seed(3)
    return WanTransformer3DModel(
        patch_size=(1, 2, 2),
        num_attention_heads=heads,
        attention_head_dim=head_width,
        num_layers=depth,
        ffn_dim=ffn,
        in_channels=channels,
        out_channels=channels,
        text_dim=text,
        freq_dim=16 if ffn < 1000 else 256,
        qk_norm="rms_norm_across_heads",
        cross_attn_norm=True,
    )


def ours(heads: int = 2, head_width: int = 12, depth: int = 2, ffn: int = 40, channels: int = 4, text: int = 10):
    """Our tower of the same size."""
    torch.manual_seed(4)
    return VideoTower(
        VideoDims(channels, text, (1, 2, 2), depth),
        width=heads * head_width,
        heads=heads,
        ffn_width=ffn,
        freq_dim=16 if ffn < 1000 else 256,
    )


TI2V_5B = {"heads": 24, "head_width": 128, "depth": 30, "ffn": 14_336, "channels": 48, "text": 4096}


def same(left: nn.Module, right: nn.Module) -> bool:
    """Whether two modules have the same names with the same bits."""
    one, other = left.state_dict(), right.state_dict()
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
