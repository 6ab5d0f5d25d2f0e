"""The network of Audiobox-Aesthetics: WavLM's layers, weighed and averaged per axis, and a linear head on each.

Tjandra et al., "Meta Audiobox Aesthetics", 2025; ``AesMultiOutput`` of github.com/facebookresearch/audiobox-aesthetics.
The encoder is transformers' WavLM, whose names differ from the published ones, which are those of Microsoft's code.

Shape legend: B windows, S samples, T frames of 20 ms, L = 13 layers (the encoder's input and its outputs), D = 768.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import WavLMConfig, WavLMModel

from harmony_lit.pretrained.layout import Layout

AXES = ("CE", "CU", "PC", "PQ")
_STRIDE, _FIELD = 320, 400  # of the convolutions, in samples


@dataclass(frozen=True)
class HeadConfig:
    """What a checkpoint says of itself; the names are the published ones.

    Attributes:
        proj_num_layer: Linear layers of each head.
        proj_ln: Whether a layer norm follows all but the last.
        proj_act_fn: Their activation, which is always GELU.
        proj_dropout: Their dropout in training, which has a place among the layers.
        nth_layer: Layers that are weighed.
        use_weighted_layer_sum: Always true.
        normalize_embed: Whether the mean over time is brought to unit length.
        output_dim: Always 1.
    """

    proj_num_layer: int = 1
    proj_ln: bool = False
    proj_act_fn: str = "gelu"
    proj_dropout: float = 0.0
    nth_layer: int = 13
    use_weighted_layer_sum: bool = True
    normalize_embed: bool = True
    output_dim: int = 1

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> HeadConfig:
        """Takes what it knows from a ``config.json`` or ``model_cfg``.

        Raises:
            ValueError: If a setting is not one that was ever published.
        """
        config = cls(**{name: values[name] for name in cls.__dataclass_fields__ if name in values})
        if not config.use_weighted_layer_sum or config.proj_act_fn != "gelu" or config.output_dim != 1:
            raise ValueError(f"an Audiobox-Aesthetics model as it was published is wanted, not {config}")
        return config


class AestheticsNetwork(nn.Module):
    """Windows of sound to the four axes, in the units that the heads were trained in."""

    def __init__(self, config: HeadConfig) -> None:
        super().__init__()
        self.config = config
        self.wavlm_model = WavLMModel(WavLMConfig())  # its defaults are WavLM base
        width = self.wavlm_model.config.hidden_size
        self.layer_weights = nn.ParameterDict({axis: nn.Parameter(torch.zeros(config.nth_layer)) for axis in AXES})
        self.proj_layer = nn.ModuleDict({axis: _head(width, config) for axis in AXES})

    def forward(self, sound: Tensor, lengths: Tensor) -> dict[str, Tensor]:
        """(B, S) at 16 kHz, of which the first ``lengths`` (B,) samples count -> (B,) by axis."""
        heard = _frames(lengths, sound.shape[1])
        # transformers counts a frame by its last sample, the original by its first; this many samples make them agree.
        counted = torch.arange(sound.shape[1], device=sound.device) < ((heard - 1) * _STRIDE + _FIELD)[:, None]
        found = self.wavlm_model(sound, attention_mask=counted.long(), output_hidden_states=True)
        layers = torch.stack(found.hidden_states[: self.config.nth_layer])
        inside = (torch.arange(layers.shape[2], device=sound.device) < heard[:, None]).to(layers.dtype)
        means = torch.einsum("lbtd,bt->lbd", layers, inside) / inside.sum(dim=1)[:, None]
        scores = {}
        for axis in AXES:
            mean = torch.einsum("lbd,l->bd", means, self.layer_weights[axis].softmax(dim=0))
            scores[axis] = self.proj_layer[axis](F.normalize(mean, dim=-1) if self.config.normalize_embed else mean)
        return {axis: score.squeeze(-1) for axis, score in scores.items()}


def _frames(lengths: Tensor, samples: int) -> Tensor:
    """Frames that hold any of the first ``lengths`` samples (B,) of a window."""
    whole = (samples - _FIELD) // _STRIDE + 1
    return ((lengths + _STRIDE - 1) // _STRIDE).clamp(1, whole)


def _head(width: int, config: HeadConfig) -> nn.Sequential:
    layers: list[nn.Module] = []
    for _ in range(config.proj_num_layer - 1):
        layers.append(nn.Linear(width, width))
        layers += [nn.LayerNorm(width)] if config.proj_ln else []
        layers.append(nn.GELU())
        layers += [nn.Dropout(config.proj_dropout)] if config.proj_dropout else []
    return nn.Sequential(*layers, nn.Linear(width, config.output_dim))


_NAMES = (  # published -> transformers'
    (r"^model\.", ""),
    (r"\.mask_emb$", ".masked_spec_embed"),
    (r"(feature_extractor\.conv_layers\.\d+)\.0\.", r"\1.conv."),
    (r"(feature_extractor\.conv_layers\.\d+)\.2\.", r"\1.layer_norm."),
    (r"^wavlm_model\.layer_norm\.", "wavlm_model.feature_projection.layer_norm."),
    (r"\.post_extract_proj\.", ".feature_projection.projection."),
    (r"\.encoder\.pos_conv\.0\.weight_g$", ".encoder.pos_conv_embed.conv.parametrizations.weight.original0"),
    (r"\.encoder\.pos_conv\.0\.weight_v$", ".encoder.pos_conv_embed.conv.parametrizations.weight.original1"),
    (r"\.encoder\.pos_conv\.0\.", ".encoder.pos_conv_embed.conv."),
    (r"\.self_attn\.relative_attention_bias\.", ".attention.rel_attn_embed."),
    (r"\.self_attn\.grep_linear\.", ".attention.gru_rel_pos_linear."),
    (r"\.self_attn\.grep_a$", ".attention.gru_rel_pos_const"),
    (r"\.self_attn\.", ".attention."),
    (r"\.self_attn_layer_norm\.", ".layer_norm."),
    (r"\.fc1\.", ".feed_forward.intermediate_dense."),
    (r"\.fc2\.", ".feed_forward.output_dense."),
)


def rename(published: str) -> str:
    """The published name of a tensor -> its name in ``AestheticsNetwork``."""
    for pattern, ours in _NAMES:
        published = re.sub(pattern, ours, published)
    return published


LAYOUT = Layout(
    name="audiobox-aesthetics",
    publisher="Meta",
    licence="CC BY 4.0",
    part="",
    telltale={},
    rename=rename,
    restore=lambda name: name,
)
