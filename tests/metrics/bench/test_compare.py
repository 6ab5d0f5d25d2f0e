from dataclasses import replace

import pytest

from harmony_lit.errors import UserError
from metrics.base import Measure
from metrics.bench.cases import BenchCase
from metrics.bench.compare import labels_of, merge_results
from metrics.bench.results import BenchResults, VariantResult

WER = Measure("wer", "lower", "Whisper.", title="WER")
SYNC = Measure("sync_c", "higher", "Tracks of 100 frames.", title="Sync-C", detector="SyncNet")


def results(keys="ab", sync=SYNC, value=1.0):
    cases = tuple(BenchCase(key, "speech", transcript=f"say {key}") for key in keys)
    scores = {key: {"wer": value, "sync_c": 2 * value} for key in keys}
    clips = {key: f"m/{key}.mp4" for key in keys}
    variant = VariantResult("m", "", "model", clips, scores, sets={"mean": {"fad": 3.0}})
    return BenchResults((WER, sync), cases, {"m": variant})


def merged(tmp_path, one, two):
    return merge_results({"one": (tmp_path / "x", one), "two": (tmp_path / "y", two)}, tmp_path / "out")


def test_means_are_over_the_cases_in_common(tmp_path):
    both = merged(tmp_path, results("abc", value=1.0), results("bcd", value=5.0))
    assert [case.key for case in both.cases] == ["b", "c"]
    assert both.mean("two: m", "wer") == 5.0
    assert both.variants["one: m"].clips["b"] == "../x/m/b.mp4"
    assert both.variants["one: m"].sets == {}  # a number of all of its clips, not of these


def test_a_case_that_asks_for_something_else_is_not_in_common(tmp_path):
    other = results("ab")
    changed = replace(other, cases=(replace(other.cases[0], transcript="say something else"), other.cases[1]))
    assert [case.key for case in merged(tmp_path, results("ab"), changed).cases] == ["b"]
    with pytest.raises(UserError, match="no case in common"):
        merged(tmp_path, results("ab"), results("cd"))


def test_another_protocol_gets_a_column_of_its_own(tmp_path):
    both = merged(tmp_path, results(), results(sync=replace(SYNC, protocol="Tracks of 50 frames.")))
    assert [measure.key for measure in both.measures] == ["wer", "sync_c", "sync_c@two"]
    assert "sync_c" not in both.variants["two: m"].scores["a"]
    assert both.variants["two: m"].scores["a"]["sync_c@two"] == 2.0


def test_results_are_named_after_their_run(tmp_path):
    files = [
        tmp_path / "runs/a/bench/results.json",
        tmp_path / "runs/b/bench/results.json",
        tmp_path / "c/results.json",
    ]
    assert labels_of(files) == ["a", "b", "c"]
