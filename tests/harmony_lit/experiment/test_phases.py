import json
import os
import time

import pytest

from harmony_lit.experiment.phases import phase, wall_seconds


def test_phases_add_up_in_order_and_total_is_their_sum(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.prefix", str(tmp_path))
    (tmp_path / "setup_seconds").write_text("7\n")
    for name in ("fit", "sample", "fit"):
        with phase(tmp_path / "run", name):
            time.sleep(0.06)
    seconds = wall_seconds(tmp_path / "run")
    assert list(seconds) == ["setup", "fit", "sample", "total"]
    assert seconds["fit"] >= 0.1 > seconds["sample"]
    assert seconds["total"] == pytest.approx(sum(v for k, v in seconds.items() if k != "total"), abs=0.11)


def test_a_phase_that_fails_is_not_recorded(tmp_path):
    with pytest.raises(RuntimeError), phase(tmp_path, "fit"):
        raise RuntimeError
    assert not (tmp_path / "phases.json").exists()


def test_whole_process_counts_from_the_start_of_the_process(tmp_path):
    with phase(tmp_path, "all", whole_process=True):
        pass
    (entry,) = json.loads((tmp_path / "phases.json").read_text())
    assert entry["seconds"] > 0.1  # importing pytest alone takes longer
    assert entry["started"] > time.time() - 3600 or os.getpid() == 1
