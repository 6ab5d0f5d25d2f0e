"""Captions are embedded and projected once per run of a sampler, and never otherwise kept."""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from dataclasses import replace

import torch

from harmony_lit.guidance import ModalityCFG, SyncCFG
from harmony_lit.model import text
from harmony_lit.model.text import captions_kept
from harmony_lit.sampling import Sampler
from tests.harmony_lit.builders import make_batch, make_model
from tests.harmony_lit.sampling.test_sampler import make_request


@contextmanager
def counted(model):
    """Counts the calls of each caption projection of the video tower."""
    calls = Counter()
    watched = {"text_embedding": model.video.text_embedding}
    for index, block in enumerate(model.video.layers):
        watched |= {f"{index}.k": block.cross_attn.k, f"{index}.v": block.cross_attn.v}
    handles = [
        module.register_forward_hook(lambda *_, name=name: calls.update([name])) for name, module in watched.items()
    ]
    yield calls
    for handle in handles:
        handle.remove()


def test_a_sampler_projects_each_caption_once_with_bit_equal_results(monkeypatch):
    model, request = make_model(), make_request()
    for guidance, captions in ((SyncCFG(), 1), (ModalityCFG(), 2), (SyncCFG(text_scale=2.0), 2)):
        sampler = Sampler(steps=3, guidance=guidance)
        if captions == 2:
            empty = replace(request.conditions, video_caption=replace(request.conditions.video_caption))
            request = replace(request, anchors=replace(request.anchors, empty=empty))
        with counted(model) as calls:
            video, audio = sampler.sample(model, request)
        assert set(calls.values()) == {captions} and len(calls) == 1 + 2 * model.depth
        with monkeypatch.context() as patch, counted(model) as calls:
            patch.setattr(text, "embed_caption", None)
            patch.setattr("harmony_lit.model.video.embed_caption", lambda tower, caption, embed: embed(caption, False))
            plain_video, plain_audio = sampler.sample(model, request)
        assert set(calls.values()) == {sampler.model_calls()}
        assert torch.equal(video.x, plain_video.x) and torch.equal(audio.x, plain_audio.x)


def velocities(model, batch):
    t = torch.tensor([0.3, 0.8])
    return model(batch.video, batch.audio, t, t, batch.conditions).video


def test_nothing_outlives_the_run_so_changed_weights_are_seen():
    model, batch = make_model(), make_batch()
    with torch.no_grad():
        with captions_kept():
            before = velocities(model, batch)
        model.video.text_embedding[0].weight.mul_(2)
        plain = velocities(model, batch)
        with captions_kept():
            after = velocities(model, batch)
    assert not torch.equal(before, after) and torch.equal(plain, after)


def test_another_caption_of_the_same_values_or_place_is_never_mistaken():
    model, batch = make_model(), make_batch()
    with torch.no_grad(), captions_kept():
        for seed in range(4):
            caption = make_batch(seed=seed).conditions.video_caption
            told = replace(batch, conditions=replace(batch.conditions, video_caption=caption))
            kept = velocities(model, told)
            again = make_model()
            again.load_state_dict(model.state_dict())
            assert torch.equal(kept, velocities(again, told))


def test_with_gradients_nothing_is_kept():
    model, batch = make_model(), make_batch()
    with captions_kept(), counted(model) as calls:
        for _ in range(2):
            velocities(model, batch).sum().backward()
    assert set(calls.values()) == {2}
