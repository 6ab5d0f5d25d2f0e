from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch

from harmony_lit.cli.main import main
from harmony_lit.perf.diffusers_wan import Shape, make_inputs, make_ours
from harmony_lit.perf.tower import largest_error
from harmony_lit.perf.worker import Task


def test_a_task_travels_to_its_process_unchanged():
    task = Task(True, replace(Shape(), layers=3), False, 2, "cpu", "bfloat16")
    assert Task.from_json(task.to_json()) == task


def test_two_processes_draw_the_same_weights_and_inputs():
    shape, cpu = Shape(width=128, layers=1, ffn_width=64, frames=2, rows=2, cols=2, text_len=3), torch.device("cpu")
    one, other = (make_ours(shape, cpu, torch.float32).state_dict() for _ in range(2))
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert torch.equal(make_inputs(shape, cpu, torch.float32).grad, make_inputs(shape, cpu, torch.float32).grad)


def test_the_largest_error_is_relative_to_its_own_tensor(tmp_path):
    small, large = torch.tensor([1e-3, 0.0]), torch.tensor([100.0, 1.0])
    torch.save({"small": small, "large": large}, tmp_path / "diffusers")
    torch.save({"small": small * 1.1, "large": large * 1.01}, tmp_path / "ours")
    error, name = largest_error(tmp_path)
    assert name == "small" and error == pytest.approx(0.1, rel=1e-4)


@pytest.mark.parametrize(
    ("argument", "sentence"),
    [(["--width", "100"], "multiple of 128"), (["--layers", "0"], "--layers must be at least 1")],
)
def test_a_wrong_size_is_one_sentence_and_exit_code_2(argument, sentence, capsys):
    assert main(["perf", "tower", *argument]) == 2
    assert sentence in capsys.readouterr().err


@pytest.mark.slow
def test_the_last_line_is_json_and_the_models_agree(capsys):
    small = ["--width", "128", "--ffn-width", "96", "--layers", "1", "--frames", "1", "--repeats", "1"]
    assert main(["perf", "tower", *small, "--no-compile"]) == 0
    numbers = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert numbers["max_rel_err"] < 1e-4 and numbers["time_ratio"] > 0 and numbers["memory_ratio"] > 0
