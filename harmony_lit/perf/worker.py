"""One model in a process of its own: says what a training step of it costs.

Reads commands, one a line, from its standard input and answers each with a line of JSON. ``harmony perf`` starts it.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from harmony_lit.perf.diffusers_wan import (
    Shape,
    gradients,
    make_inputs,
    make_ours,
    make_theirs,
    run_ours,
    run_theirs,
)
from harmony_lit.perf.parts import time_by_part
from harmony_lit.pretrained.wan import from_diffusers

Model = Any


@dataclass(frozen=True)
class Task:
    """What a worker builds: ``ours`` or diffusers' model."""

    ours: bool
    shape: Shape
    compile: bool
    threads: int
    device: str
    dtype: str

    def to_json(self) -> str:
        """For the command line."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Task:
        """Reads ``to_json``'s text."""
        values = json.loads(text)
        return cls(**{**values, "shape": Shape(**values["shape"])})


class Worker:
    """Builds the model and answers commands."""

    def __init__(self, task: Task) -> None:
        torch.set_num_threads(task.threads)
        self.task, self.device = task, torch.device(task.device)
        dtype = getattr(torch, task.dtype)
        self.inputs = make_inputs(task.shape, self.device, dtype)
        # Before the model is built but after every import, so that only the model's own memory counts.
        import diffusers.models.transformers.transformer_wan  # noqa: F401

        self.before = _resident_bytes()
        make: Callable[..., Model] = make_ours if task.ours else make_theirs
        self.model = make(task.shape, self.device, dtype)
        self.forward: Callable[[Model, Any], Tensor] = run_ours if task.ours else run_theirs
        if task.compile:
            for block in self.model.blocks:
                block.compile()

    def step(self) -> dict[str, float]:
        """Forward and backward: wall and CPU seconds, and the peak of memory so far, weights included, in bytes."""
        self.model.zero_grad()
        self.inputs.latents.grad = None
        self._wait()
        start, cpu = time.perf_counter(), time.process_time()
        output = self.forward(self.model, self.inputs)
        self._wait()
        self.output = output.detach()
        middle = time.perf_counter()
        output.backward(self.inputs.grad)
        self._wait()
        end = time.perf_counter()
        return {
            "forward_s": middle - start,
            "backward_s": end - middle,
            "cpu_s": time.process_time() - cpu,
            "peak_bytes": self._peak_bytes(),
        }

    def parts(self) -> dict[str, float]:
        """Seconds of each part of a step."""
        return time_by_part(self.step, self.task.shape.ffn_width)

    def dump(self, path: str) -> dict[str, str]:
        """Writes output and gradients of the last step to ``path``."""
        found = gradients(self.model, self.inputs, str if self.task.ours else from_diffusers)
        torch.save({"output": self.output.cpu(), **{name: g.cpu() for name, g in found.items()}}, path)
        return {"path": path}

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def _peak_bytes(self) -> float:
        if self.device.type == "cuda":
            return float(torch.cuda.max_memory_allocated(self.device))
        unit = 1 if sys.platform == "darwin" else 1024
        return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit - self.before)


def _resident_bytes() -> int:
    """Memory that the process holds now (Linux), or has held at most (elsewhere)."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except FileNotFoundError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return pages * resource.getpagesize()


def main() -> None:
    """Answers until the input ends."""
    worker = Worker(Task.from_json(sys.argv[1]))
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        name, *arguments = line.split(maxsplit=1)
        print(json.dumps(getattr(worker, name)(*(a.strip() for a in arguments))), flush=True)


if __name__ == "__main__":
    main()
