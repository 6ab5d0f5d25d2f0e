"""The real curriculum on a few clips: killed at random moments, it ends with the same weights; the ladder trains."""

import os
import random
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

ROOT = Path(__file__).resolve().parents[1]
STAGES = ("audio", "timbre", "joint")
KILLS = 5


def harmony(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "harmony_lit.cli.main", *arguments]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def finish(*arguments: str) -> None:
    process = harmony(*arguments)
    output, _ = process.communicate()
    assert process.returncode == 0, output


def fit(data: Path, run: Path, experiment: str = "quickstart") -> list[str]:
    return [
        "fit", experiment, f"run_dir={run}", f"paths.clips={data}/clips", f"paths.latents={data}/latents",
        "fit.data.init_args.batch_size=4", "fit.trainer.val_check_interval=7", "fit.checkpoint.every_n_steps=5",
        "stages.audio.trainer.max_steps=20", "stages.timbre.trainer.max_steps=12", "stages.joint.trainer.max_steps=30",
        "fit.trainer.log_every_n_steps=1", "stages.joint.trainer.val_check_interval=10",
    ]  # fmt: skip


def weights(run: Path) -> dict[str, bytes]:
    return {stage: (run / "stages" / stage / "weights.safetensors").read_bytes() for stage in STAGES}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    finish("data", "world", f"{folder}/clips", "--clips", "24", "--val-clips", "6", "--test-clips", "6")
    finish("data", "encode", f"{folder}/clips", f"{folder}/latents", "--experiment", "quickstart")
    return folder


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_killed_at_five_random_moments_the_curriculum_ends_with_the_same_weights(data: Path, tmp_path: Path) -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    finish(*fit(data, tmp_path / "whole"))
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    whole_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    draw = random.Random(0)
    for _ in range(KILLS):
        process = harmony(*fit(data, tmp_path / "killed"))
        # Moments of processor time, not of the clock: the same on a busy machine. About a quarter goes by in imports.
        moment_s = draw.uniform(0.15, 0.4) * whole_s
        while process.poll() is None and cpu_s(process.pid) < moment_s:
            time.sleep(0.02)
        assert process.poll() is None, "the curriculum was over before it was killed five times"
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    finish(*fit(data, tmp_path / "killed"))
    assert weights(tmp_path / "killed") == weights(tmp_path / "whole")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_ctrl_c_saves_and_the_same_command_goes_on(data: Path, tmp_path: Path) -> None:
    process = harmony(*fit(data, tmp_path / "run"))
    checkpoint = tmp_path / "run" / "stages" / "audio" / "last.ckpt"
    while not checkpoint.exists():
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.05)
    before = checkpoint.stat().st_mtime_ns
    # As a terminal does: to the command and to the stage.
    for pid in (process.pid, *children(process.pid)):
        os.kill(pid, signal.SIGINT)
    output, _ = process.communicate()
    assert process.returncode == 130, output
    assert checkpoint.stat().st_mtime_ns > before
    finish(*fit(data, tmp_path / "run"))


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("step", ["0_global", "1_gldi", "2_rope", "3_cts", "4_sync_cfg"])
def test_every_step_of_the_ablation_ladder_trains(data: Path, tmp_path: Path, step: str) -> None:
    # Short stages before the joint one leave it something to learn of the sound, too.
    short = ["stages.audio.trainer.max_steps=2", "stages.timbre.trainer.max_steps=2"]
    finish(*fit(data, tmp_path / "run", f"ablation/{step}"), *short)
    events = EventAccumulator(str(tmp_path / "run" / "tb" / "joint")).Reload()
    for modality in ("video", "audio"):
        # The same clips and noise at every validation.
        losses = [event.value for event in events.Scalars(f"val/joint/{modality}")]
        assert len(losses) == 3 and losses[-1] < 0.9 * losses[0], f"{modality}: {losses}"


def cpu_s(pid: int) -> float:
    """Processor seconds of a process, of the children that it has waited for, and of those at work."""
    total = 0.0
    for one in (pid, *children(pid)):
        try:
            fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        total += sum(int(ticks) for ticks in fields[11:15]) / os.sysconf("SC_CLK_TCK")
    return total


def children(pid: int) -> list[int]:
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []
