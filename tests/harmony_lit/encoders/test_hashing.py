"""The hashing encoder is a fixed, download-free map from words to vectors."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
import torch

from harmony_lit.encoders.base import TextEncoder
from harmony_lit.encoders.hashing import HashTextEncoder


def test_implements_the_protocol():
    assert isinstance(HashTextEncoder(), TextEncoder)


def test_empty_caption_is_one_valid_token():
    embeds = HashTextEncoder(dim=16).encode([""])
    assert embeds.x.shape == (1, 1, 16)
    assert embeds.mask.tolist() == [[True]]


def test_padding_is_zero_and_masked():
    embeds = HashTextEncoder(dim=16).encode(["a red ball", ""])
    assert embeds.mask.tolist() == [[True] * 4, [True, False, False, False]]
    assert not embeds.x[1, 1:].any()


def test_embedding_does_not_depend_on_the_batch_or_on_the_instance():
    alone = HashTextEncoder().encode(["a wooden ball falls"])
    together = HashTextEncoder().encode(["", "a wooden ball falls", "three"])
    assert torch.equal(alone.x[0], together.x[1, : alone.x.shape[1]])


def test_case_and_punctuation_do_not_matter():
    encoder = HashTextEncoder()
    assert torch.equal(encoder.encode(["A ball, red."]).x, encoder.encode(["a ball red"]).x)


def test_same_word_is_close_to_itself_elsewhere_and_far_from_others():
    x = HashTextEncoder(dim=256).encode(["ball drum ball"]).x[0]
    similarity = torch.nn.functional.cosine_similarity
    assert similarity(x[0], x[2], dim=0) > 0.9
    assert similarity(x[0], x[1], dim=0).abs() < 0.3


def test_words_are_unit_variance_vectors_seeded_by_their_crc():
    x = HashTextEncoder(dim=4096).encode(["ball"]).x[0, 0]
    seeded = np.random.default_rng(zlib.crc32(b"ball")).standard_normal(4096, dtype=np.float32)
    assert x.std().item() == pytest.approx(1.0, abs=0.05)
    assert np.abs(x.numpy() - seeded).max() < 0.25  # the position code


def test_long_caption_is_cut_but_keeps_its_end_token():
    encoder = HashTextEncoder(max_tokens=4)
    embeds = encoder.encode(["one two three four five six"])
    assert embeds.x.shape[1] == 4
    assert encoder.tokens("one two three four five six")[-1] == encoder.tokens("")[0]


def test_settings_change_the_fingerprint():
    prints = {
        HashTextEncoder().fingerprint,
        HashTextEncoder(dim=32).fingerprint,
        HashTextEncoder(max_tokens=8).fingerprint,
    }
    assert len(prints) == 3


@pytest.mark.parametrize(("settings", "name"), [({"dim": 7}, "dim"), ({"max_tokens": 1}, "max_tokens")])
def test_impossible_settings_are_refused(settings, name):
    with pytest.raises(ValueError, match=name):
        HashTextEncoder(**settings)
