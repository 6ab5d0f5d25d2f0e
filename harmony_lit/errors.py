"""A user's mistake, and the nearest right name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(ValueError):
    """A mistake in what was asked for: one sentence that says what is wrong and what would be right.

    The command line prints it without a traceback and ends with exit code 2.
    """


def nearest(name: str, known: Iterable[str], limit: int = 8) -> str:
    """A sentence that leads from a wrong ``name`` to the right one: the nearest of ``known``, or else the list of them.

    Returns:
        ``" Did you mean 'x'?"``, ``" Known: a, b, c."``, or an empty string if nothing is known.
    """
    names = sorted(set(known))
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    if close:
        return f" Did you mean '{close[0]}'?"
    if not names:
        return ""
    shown = ", ".join(names[:limit])
    return f" Known: {shown}{', ...' if len(names) > limit else ''}."
