"""The last clip's intermediate results, so that metrics which look at the same thing look once."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar

from harmony_lit.containers import Clip

Found = TypeVar("Found")
Settings = ParamSpec("Settings")


def once_per_clip(
    find: Callable[Concatenate[Clip, Settings], Found],
) -> Callable[Concatenate[Clip, Settings], Found]:
    """Remembers what ``find(clip, *settings)`` gave, per settings, until it is asked about another clip.

    A clip is told by identity, not by value: metrics of one clip are measured one after the other.
    """
    last: list[Clip] = []
    found: dict[Hashable, Found] = {}

    @wraps(find)
    def remembering(clip: Clip, *args: Settings.args, **kwargs: Settings.kwargs) -> Found:
        if not last or last[0] is not clip:
            last[:] = [clip]
            found.clear()
        key = (args, tuple(sorted(kwargs.items())))
        if key not in found:
            found[key] = find(clip, *args, **kwargs)
        return found[key]

    return remembering
