import importlib

import numpy as np
import pytest

from data.shards import iterate_clips
from data.world import WorldConfig, generate, make_clip


def small(out, **changes):
    settings = {"clips": 4, "val_clips": 3, "test_clips": 2, "workers": 0, "config": WorldConfig(size=32, frames=41)}
    return generate(out, **{**settings, **changes})


def test_shards_hold_the_clips_of_their_split(tmp_path):
    manifest = small(tmp_path / "clips", seed=3)
    assert {name: split.clips for name, split in manifest.splits.items()} == {"train": 4, "val": 3, "test": 2}
    config = WorldConfig(seed=3, size=32, frames=41)
    for index, stored in enumerate(iterate_clips(tmp_path / "clips", "val")):
        made = make_clip(index, "val", config)
        assert stored.annotation == made.annotation
        np.testing.assert_allclose(stored.clip.audio, made.clip.audio, atol=1e-4)
        np.testing.assert_allclose(stored.reference, made.reference, atol=1e-4)
        difference = (stored.clip.video.float() - made.clip.video.float()).abs()
        assert difference.mean() < 12  # small pictures suffer from the halved colour planes of yuv420p


def test_the_same_settings_are_not_made_again_and_others_are(tmp_path, capsys):
    out = tmp_path / "clips"
    first = small(out)
    written = {path.name: path.stat().st_mtime_ns for path in out.iterdir()}
    assert small(out) == first
    assert {path.name: path.stat().st_mtime_ns for path in out.iterdir()} == written
    assert "already holds these 9 clips" in " ".join(capsys.readouterr().err.split())
    assert small(out, seed=1).digest != first.digest


def test_an_interrupted_run_leaves_no_folder(tmp_path, monkeypatch):
    module = importlib.import_module("data.world.generate")
    encode = module._encode

    def fail_late(job):
        if job[0] == 2:
            raise KeyboardInterrupt
        return encode(job)

    monkeypatch.setattr(module, "_encode", fail_late)
    with pytest.raises(KeyboardInterrupt):
        small(tmp_path / "clips")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("counts", "message"), [({"clips": 0}, "at least 1 train"), ({"val_clips": -1}, "0 val")])
def test_impossible_counts_are_refused(tmp_path, counts, message):
    with pytest.raises(ValueError, match=message):
        small(tmp_path / "clips", **counts)


def test_a_folder_of_other_files_is_left_alone(tmp_path):
    (tmp_path / "holiday.txt").write_text("dear diary")
    with pytest.raises(ValueError, match="holds other files"):
        small(tmp_path)


@pytest.mark.slow
def test_workers_write_the_bytes_that_one_process_writes(tmp_path):
    assert small(tmp_path / "two", workers=2).digest == small(tmp_path / "none").digest
