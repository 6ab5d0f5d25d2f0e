"""Wall time of each phase of an experiment, over all the processes that work on its run folder.

``RUN/phases.json`` is a list of ``{"name", "started", "seconds"}``, one entry per phase and process that finished it.
"""

from __future__ import annotations

import fcntl
import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FILE = "phases.json"


@contextmanager
def phase(run: Path | str, name: str, whole_process: bool = False) -> Iterator[None]:
    """Times the block and appends it to ``RUN/phases.json``; a block that raises is not recorded.

    Args:
        run: The run folder; made if missing.
        name: Name of the phase, as it shall appear in ``summary.json``.
        whole_process: Count from the start of this process, so that importing torch is not forgotten.
    """
    started = _process_start() if whole_process else time.time()
    yield
    entry = {"name": name, "started": round(started, 3), "seconds": round(time.time() - started, 3)}
    folder = Path(run)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f".{FILE}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        entries = [*_read(folder / FILE), entry]
        scratch = folder / f".{FILE}.{os.getpid()}"
        scratch.write_text(json.dumps(entries, indent=1) + "\n")
        scratch.replace(folder / FILE)


def wall_seconds(run: Path | str) -> dict[str, float]:
    """Seconds per phase in order of appearance, and their sum as ``total``; repeated phases add up.

    The time ``make setup`` took is the phase ``setup``, if the environment knows it (``.venv/setup_seconds``).
    """
    seconds: dict[str, float] = {}
    setup = Path(sys.prefix) / "setup_seconds"
    if setup.is_file():
        seconds["setup"] = float(setup.read_text())
    for entry in _read(Path(run) / FILE):
        seconds[entry["name"]] = seconds.get(entry["name"], 0.0) + entry["seconds"]
    return {name: round(value, 2) for name, value in {**seconds, "total": sum(seconds.values())}.items()}


def _read(path: Path) -> list[dict]:
    return json.loads(path.read_text()) if path.is_file() else []


def _process_start() -> float:
    """Epoch seconds at which this process began (Linux), or now where that cannot be known."""
    try:
        ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
        uptime_s = float(Path("/proc/uptime").read_text().split()[0])
    except (OSError, IndexError, ValueError):
        return time.time()
    return time.time() - (uptime_s - ticks / os.sysconf("SC_CLK_TCK"))
