"""Turns what goes wrong into one sentence and an exit code.

0 done, 1 failed, 2 a mistake in what was asked for, 130 interrupted.
"""

from __future__ import annotations

import errno
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

from harmony_lit.errors import UserError

_ROOT = Path(__file__).resolve().parents[2]
_ROOMS = tuple(str(_ROOT / name) + os.sep for name in ("harmony_lit", "data", "metrics"))


def guarded(work: Callable[[], int | None]) -> int:
    """Runs ``work`` and returns the exit code; set ``HARMONY_TRACEBACK=1`` to see where an error came from."""
    try:
        return work() or 0
    except KeyboardInterrupt:
        return _say("interrupted; the same command goes on", 130)
    except BrokenPipeError:
        # The reader (`| head`) went away; nothing more is to be said.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if os.environ.get("HARMONY_TRACEBACK") == "1":
            traceback.print_exc()
        if any(_is_disk_full(e) for e in _chain(error)):
            return _say("no space is left on the disk; free some and run the same command again", 1)
        if hasattr(error, "exit_code"):
            return _say(str(error), int(error.exit_code)) if str(error) else int(error.exit_code)
        if _is_users(error):
            return _say(_sentence(error), 2)
        raise


def _say(sentence: str, code: int) -> int:
    print(f"harmony: {sentence}", file=sys.stderr, flush=True)
    return code


def _is_users(error: BaseException) -> bool:
    """Whether an error is a user's mistake: by the house's rule a ValueError that our own code raises.

    A ValueError from inside a library is a bug, and shows its traceback.
    """
    if isinstance(error, UserError):
        return True
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    ours = frame is not None and frame.tb_frame.f_code.co_filename.startswith(_ROOMS)
    missing = isinstance(error, (FileNotFoundError, NotADirectoryError, IsADirectoryError, PermissionError))
    return ours and (type(error) is ValueError or missing)


def _sentence(error: BaseException) -> str:
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {os.strerror(error.errno or 0)}"
    return str(error)


def _is_disk_full(error: BaseException) -> bool:
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
