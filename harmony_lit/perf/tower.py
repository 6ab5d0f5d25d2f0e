"""Our video tower against diffusers' Wan transformer: time, peak memory and error of a training step.

Each model runs in a fresh process of its own. Memory is the process's peak of resident memory over its first step
less what it held before the model was built: weights, gradients, activations and what the allocator loses. Time is the
median over steps that the two processes take in turn, so that what else the machine does meets both.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from harmony_lit.perf.parts import PARTS
from harmony_lit.perf.worker import Task

MODELS = ("ours", "diffusers")


@dataclass(frozen=True)
class Measured:
    """What one model took, in seconds and bytes, and the seconds of each part."""

    forward_s: float
    backward_s: float
    cpu_s: float
    peak_bytes: float
    parts: dict[str, float]

    @property
    def step_s(self) -> float:
        """Seconds of a whole step."""
        return self.forward_s + self.backward_s


class Process:
    """A worker in a process of its own."""

    def __init__(self, task: Task) -> None:
        command = [sys.executable, "-m", "harmony_lit.perf.worker", task.to_json()]
        self._said = tempfile.TemporaryFile("w+")  # noqa: SIM115 libraries' chatter, shown only on failure
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._said, text=True
        )
        self._answer()

    def ask(self, command: str) -> dict[str, Any]:
        """The answer to one command."""
        assert self._process.stdin is not None
        self._process.stdin.write(command + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            code = self._process.wait()
            self._said.seek(0)
            raise RuntimeError(f"a measuring process ended with exit code {code}:\n{self._said.read()[-4000:]}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        """Ends the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()
        self._said.close()


@contextmanager
def _started(task: Task) -> Iterator[Process]:
    process = Process(task)
    try:
        yield process
    finally:
        process.close()


def measure(task: Task, repeats: int, dump: Path | None = None, profile: bool = True) -> dict[str, Measured]:
    """Both models, step by step in turn.

    Args:
        task: What to build; ``ours`` is set here.
        repeats: Timed steps, after one that warms up.
        dump: Folder for output and gradients of each model, or None.
        profile: Whether one more step is profiled by part.
    """
    with ExitStack() as stack:
        processes = {name: stack.enter_context(_started(replace(task, ours=name == "ours"))) for name in MODELS}
        first = {name: process.ask("step") for name, process in processes.items()}
        if dump is not None:
            for name, process in processes.items():
                process.ask(f"dump {dump / name}")
        steps: dict[str, list[dict[str, float]]] = {name: [] for name in MODELS}
        for _ in range(repeats):
            for name, process in processes.items():
                steps[name].append(process.ask("step"))
        parts = {name: process.ask("parts") if profile else {} for name, process in processes.items()}
    return {
        name: Measured(
            **{
                key: statistics.median(step[key] for step in steps[name])
                for key in ("forward_s", "backward_s", "cpu_s")
            },
            peak_bytes=first[name]["peak_bytes"],
            parts=parts[name],
        )
        for name in MODELS
    }


def largest_error(folder: Path) -> tuple[float, str]:
    """Largest error of output and gradients, relative to the largest value of the same tensor, and its name."""
    ours, theirs = (torch.load(folder / name, weights_only=True, mmap=True) for name in MODELS)
    if ours.keys() != theirs.keys():
        raise RuntimeError(f"gradients of different names: {sorted(ours.keys() ^ theirs.keys())}")
    errors = {
        name: ((ours[name] - expected).abs().max() / expected.abs().max()).item() for name, expected in theirs.items()
    }
    worst = max(errors, key=lambda name: errors[name])
    return errors[worst], worst


def compare(task: Task, repeats: int, compiled: bool) -> tuple[str, dict[str, float]]:
    """The report as text, and its numbers.

    Args:
        task: What to build.
        repeats: Timed steps of each model.
        compiled: Whether to measure both compiled as well.
    """
    with tempfile.TemporaryDirectory() as folder:
        eager = measure(task, repeats, Path(folder))
        error, worst = largest_error(Path(folder))
    ours, theirs = (eager[name] for name in MODELS)
    lines = [_header(task), "", *_table("eager", eager), "", *_parts_table(eager), ""]
    numbers = {
        "time_ratio": ours.step_s / theirs.step_s,
        "memory_ratio": ours.peak_bytes / theirs.peak_bytes,
        "cpu_time_ratio": ours.cpu_s / theirs.cpu_s,
        "max_rel_err": error,
    }
    lines.append(f"largest relative error {error:.1e}, of {worst}")
    if compiled:
        both = measure(replace(task, compile=True), repeats, profile=False)
        numbers["compiled_time_ratio"] = both["ours"].step_s / both["diffusers"].step_s
        lines += ["", *_table("compiled block by block", both)]
    return "\n".join(lines), numbers


def _header(task: Task) -> str:
    s = task.shape
    return (
        f"width {s.width}, {s.layers} layers, heads of {s.head_dim}, ffn {s.ffn_width}, {s.frames} latent frames of "
        f"{s.rows * s.cols} tokens, {s.text_len} text tokens, batch {s.batch}, {task.dtype}, {task.device}"
        + (f" with {task.threads} thread{'s' * (task.threads > 1)}" if task.device == "cpu" else "")
    )


def _table(title: str, measured: dict[str, Measured]) -> list[str]:
    lines = [f"{title:34}{'ours':>10}{'diffusers':>11}{'ratio':>8}"]
    ours, theirs = (measured[name] for name in MODELS)
    rows = [
        ("forward + backward, s", ours.step_s, theirs.step_s),
        ("  forward, s", ours.forward_s, theirs.forward_s),
        ("  backward, s", ours.backward_s, theirs.backward_s),
        ("  CPU time of both, s", ours.cpu_s, theirs.cpu_s),
        ("peak memory, MiB", ours.peak_bytes / 2**20, theirs.peak_bytes / 2**20),
    ]
    return lines + [f"{name:34}{a:10.2f}{b:11.2f}{a / b:8.3f}" for name, a, b in rows]


def _parts_table(measured: dict[str, Measured]) -> list[str]:
    ours, theirs = (measured[name].parts for name in MODELS)
    lines = [f"{'where the time goes, s (profiled)':34}{'ours':>10}{'diffusers':>11}{'share of ours':>15}"]
    whole = sum(ours.values()) or 1.0
    return lines + [f"{part:34}{ours[part]:10.2f}{theirs[part]:11.2f}{ours[part] / whole:15.1%}" for part in PARTS]
