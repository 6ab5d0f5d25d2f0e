"""Reference policies: lengths in seconds, no overlap where none is allowed, speech never shortened."""

from __future__ import annotations

import pytest
import torch

from data.reference import NoReference, OtherUtterance, ReferenceQuery, SameClip
from harmony_lit.errors import UserError

RATE_HZ = 31.25


def query(
    latents: int, start: int = 0, stop: int | None = None, stored: int = 0, speech: bool = False
) -> ReferenceQuery:
    """Each latent holds its own position, so that a reference tells where it comes from."""
    audio = torch.arange(latents).expand(2, latents)
    other = 1_000 + torch.arange(stored).expand(2, stored) if stored else None
    return ReferenceQuery(audio, other, start, latents if stop is None else stop, speech, RATE_HZ)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_same_clip_takes_one_to_three_seconds_anywhere() -> None:
    lengths, starts = [], []
    for seed in range(300):
        reference = SameClip(1.0, 3.0)(query(200), generator(seed)).latents
        positions = reference[0]
        assert torch.equal(positions, torch.arange(int(positions[0]), int(positions[0]) + len(positions)))
        lengths.append(len(positions) / RATE_HZ)
        starts.append(int(positions[0]))
    assert min(lengths) >= 0.99
    assert max(lengths) <= 3.0
    assert max(lengths) - min(lengths) > 1.5
    assert min(starts) < 10
    assert max(starts) > 100


def test_same_clip_of_a_short_clip_is_all_of_it() -> None:
    assert SameClip(1.0, 3.0)(query(20), generator()).latents.shape == (2, 20)


def test_other_utterance_takes_the_stored_sound_up_to_its_longest() -> None:
    chosen = OtherUtterance(max_s=2.0)(query(76, stored=100), generator())
    assert chosen.stop == 76
    assert chosen.latents.shape == (2, 62)
    assert chosen.latents.min() >= 1_000
    assert OtherUtterance(max_s=2.0)(query(76, stored=40), generator()).latents.shape == (2, 40)


def test_without_a_stored_sound_the_reference_lies_outside_the_target() -> None:
    for seed in range(50):
        chosen = OtherUtterance()(query(300, start=100, stop=200), generator(seed))
        assert chosen.stop == 200
        positions = chosen.latents[0]
        assert len(positions) >= 0.5 * RATE_HZ - 1
        assert int(positions.max()) < 100 or int(positions.min()) >= 200


def test_a_whole_clip_gives_its_end_and_becomes_shorter() -> None:
    for seed in range(50):
        chosen = OtherUtterance()(query(76), generator(seed))
        positions = chosen.latents[0]
        assert int(positions[0]) == chosen.stop
        assert int(positions[-1]) == 75
        assert 38 <= chosen.stop <= 60


def test_speech_without_a_stored_sound_and_clips_too_short_go_without() -> None:
    for asked in (query(76, speech=True), query(30)):
        chosen = OtherUtterance()(asked, generator())
        assert chosen.latents.shape == (2, 0)
        assert chosen.stop == asked.stop


def test_drop_is_a_share_of_samples() -> None:
    dropped = [
        OtherUtterance(drop=0.3)(query(76, stored=50), generator(seed)).latents.shape[1] == 0 for seed in range(500)
    ]
    assert 0.23 < sum(dropped) / len(dropped) < 0.37


def test_no_reference_is_empty() -> None:
    assert NoReference()(query(76, stored=50), generator()).latents.shape == (2, 0)


@pytest.mark.parametrize("policy", [SameClip, OtherUtterance])
def test_a_range_the_wrong_way_round_is_a_mistake(policy: type) -> None:
    with pytest.raises(UserError, match="min_s <= max_s"):
        policy(min_s=3.0, max_s=1.0)
