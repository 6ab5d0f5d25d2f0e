"""Small random networks in their published layouts, and tokenizers that know a handful of letters."""

from __future__ import annotations

import json
import string

import pytest
import torch

from harmony_lit.containers import Clip
from metrics.joint_embedding.imagebind_weights import HEADS, TOWERS, layout_of
from metrics.joint_embedding.towers import TowerSize

LETTERS = [*string.ascii_lowercase, *(letter + "</w>" for letter in string.ascii_lowercase)]


@pytest.fixture(scope="session")
def clip_tokenizer(tmp_path_factory):
    """Folder of a tokenizer with CLIP's rules, whose last word is the end of a text."""
    folder = tmp_path_factory.mktemp("clip_tokenizer")
    words = [*LETTERS, "<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({word: index for index, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "CLIPTokenizer", "model_max_length": 77, "pad_token": "<|endoftext|>"})
    )
    return str(folder)


@pytest.fixture(scope="session")
def imagebind_tensors():
    """The tensors of a small ImageBind as published, and some of what our towers have no use for."""
    generator = torch.Generator().manual_seed(0)
    published = {
        "modality_preprocessors.text.mask": torch.zeros(77, 77),
        "modality_postprocessors.text.1.log_logit_scale": torch.zeros(()),
        "modality_postprocessors.audio.1.log_logit_scale": torch.zeros(()),
        "modality_preprocessors.thermal.cls_token": torch.zeros(1, 1, 12),
        "modality_trunks.depth.blocks.0.attn.bias_k": torch.zeros(1, 1, 12),
    }
    for modality, tower in TOWERS.items():
        size = TowerSize(2 * HEADS[modality], 2, 10, HEADS[modality], len(LETTERS) + 2)
        for name, value in tower(size).state_dict().items():
            noise = torch.randn(value.shape, generator=generator)
            scaled = 1 + 0.1 * noise if "norm" in name and name.endswith("weight") else 0.2 * noise
            published[layout_of(modality).restore(name)] = scaled
    return published


@pytest.fixture(scope="session")
def imagebind_weights(tmp_path_factory, imagebind_tensors):
    """Path of a small random ``imagebind_huge.pth``."""
    path = tmp_path_factory.mktemp("imagebind") / "imagebind_huge.pth"
    torch.save(imagebind_tensors, path)
    return str(path)


@pytest.fixture
def noise_clip():
    """A clip of 2.4 s at 30 frames per second and 24 kHz."""
    generator = torch.Generator().manual_seed(0)
    frames = torch.randint(0, 256, (72, 3, 120, 160), generator=generator, dtype=torch.uint8)
    return Clip(frames, 0.1 * torch.randn(57_600, generator=generator), 30.0, 24_000)
