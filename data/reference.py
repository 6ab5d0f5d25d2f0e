"""Which sound a sample's timbre is taken from: one policy for each stage of the curriculum (Sec. 3 of the paper).

Stage 1 takes a part of the very clip; stages 2 and 3 another utterance, or a part that the target does not overlap, so
that the model cannot copy the target out of its reference. References are cut from latents, not from samples.

Shape legend: C latent channels, Ta audio latents of the clip, Tr of the reference.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from harmony_lit.errors import UserError


@dataclass(frozen=True)
class ReferenceQuery:
    """What a policy may choose from.

    Attributes:
        audio: (C, Ta) latents of the whole clip.
        stored: (C, Tr) latents of another sound of the same source, if the shard holds one.
        start: First latent of the intended target.
        stop: One past its last latent.
        has_speech: Whether the clip has a speaker or a transcript, and so must not be shortened.
        rate_hz: Audio latents per second.
    """

    audio: Tensor
    stored: Tensor | None
    start: int
    stop: int
    has_speech: bool
    rate_hz: float


@dataclass(frozen=True)
class Reference:
    """A policy's choice: ``latents`` (C, Tr), with Tr = 0 for none, and where the target must now stop."""

    latents: Tensor
    stop: int


class ReferencePolicy(Protocol):
    """Chooses the reference of one sample; draws only from the generator it is given."""

    def __call__(self, query: ReferenceQuery, generator: torch.Generator) -> Reference:
        """The reference, and the end of the target if it had to be shortened."""
        ...


class NoReference:
    """Never a reference: the model's learned null reference stands in."""

    def __call__(self, query: ReferenceQuery, generator: torch.Generator) -> Reference:
        """No latents; the target stays."""
        return Reference(query.audio[:, :0], query.stop)


class SameClip:
    """A random part of the same clip, which may overlap the target (stage 1).

    Args:
        min_s: Shortest reference in seconds.
        max_s: Longest reference in seconds; the clip's length if that is less.

    Raises:
        UserError: If not 0 < min_s <= max_s.
    """

    def __init__(self, min_s: float = 1.0, max_s: float = 3.0) -> None:
        _check_range("SameClip", min_s, max_s)
        self.min_s, self.max_s = min_s, max_s

    def __call__(self, query: ReferenceQuery, generator: torch.Generator) -> Reference:
        """A part of random length at a random place."""
        part = _random_part(query.audio, self.min_s * query.rate_hz, self.max_s * query.rate_hz, generator)
        return Reference(part, query.stop)


class OtherUtterance:
    """Another utterance of the same voice, or another take of the same thing, as the shard stores it (stages 2 and 3).

    A clip without a stored reference gives a part of itself that the target does not overlap: what lies before or
    after the target if that is long enough, and otherwise its own end, by which the target becomes shorter. A clip
    with speech is never shortened, as its transcript would no longer be true: it goes without a reference.

    Args:
        drop: Share of samples that go without a reference.
        min_s: Shortest reference in seconds.
        max_s: Longest reference in seconds.

    Raises:
        UserError: If not 0 < min_s <= max_s, or ``drop`` is not a probability.
    """

    def __init__(self, drop: float = 0.0, min_s: float = 0.5, max_s: float = 3.0) -> None:
        _check_range("OtherUtterance", min_s, max_s)
        if not 0 <= drop <= 1:
            raise UserError(f"OtherUtterance.drop is a probability, not {drop}")
        self.drop, self.min_s, self.max_s = drop, min_s, max_s

    def __call__(self, query: ReferenceQuery, generator: torch.Generator) -> Reference:
        """The stored latents, a part outside the target, or none."""
        none = Reference(query.audio[:, :0], query.stop)
        if float(torch.rand((), generator=generator)) < self.drop:
            return none
        shortest, longest = self.min_s * query.rate_hz, self.max_s * query.rate_hz
        if query.stored is not None:
            return Reference(_random_part(query.stored, longest, longest, generator), query.stop)
        before, after = query.audio[:, : query.start], query.audio[:, query.stop :]
        outside = max(before, after, key=lambda part: part.shape[1])
        if outside.shape[1] >= shortest:
            return Reference(_random_part(outside, shortest, longest, generator), query.stop)
        target = query.stop - query.start
        if query.has_speech or target < 2 * shortest:
            return none
        length = _random_length(shortest, min(longest, target / 2), generator)
        return Reference(query.audio[:, query.stop - length : query.stop], query.stop - length)


def _check_range(name: str, min_s: float, max_s: float) -> None:
    if not 0 < min_s <= max_s:
        raise UserError(f"{name}: 0 < min_s <= max_s is needed, not min_s={min_s} and max_s={max_s}")


def _random_length(shortest: float, longest: float, generator: torch.Generator) -> int:
    low = max(1, round(shortest))
    high = max(low, int(longest))
    return int(torch.randint(low, high + 1, (), generator=generator))


def _random_part(audio: Tensor, shortest: float, longest: float, generator: torch.Generator) -> Tensor:
    """A part of (C, T) of random length at a random place; all of it if it is shorter than the shortest."""
    length = min(audio.shape[1], _random_length(shortest, longest, generator))
    start = int(torch.randint(0, audio.shape[1] - length + 1, (), generator=generator))
    return audio[:, start : start + length]
