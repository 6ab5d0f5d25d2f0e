import json
import math

import pytest

from harmony_lit.errors import UserError
from metrics.base import Measure
from metrics.bench.cases import BenchCase
from metrics.bench.results import BenchResults, VariantResult

F1 = Measure("event_f1", "higher", "How it is measured.")
LAG = Measure("lag_s", "zero", "How it is measured.", unit="s")


def make_results():
    cases = (BenchCase("a", "ambient"), BenchCase("b", "ambient"), BenchCase("s", "speech"))
    plain = {"a": {"event_f1": 0.2, "lag_s": 0.1}, "b": {"event_f1": 0.4, "lag_s": -0.3}, "s": {"lag_s": 0.3}}
    sync = {"a": {"event_f1": 0.9, "lag_s": -0.2}, "b": {}, "s": {"lag_s": -0.2}}
    variants = {
        "truth": VariantResult("truth", "", "reference", {}, {"a": {"event_f1": 1.0}}),
        "plain": VariantResult("plain", "", "model", {}, plain, {"steps": 2}),
        "sync": VariantResult("sync", "", "model", {}, sync),
    }
    return BenchResults((F1, LAG), cases, variants, {"name": "run"})


def test_the_mean_is_over_subsets_and_leaves_out_what_does_not_apply():
    results = make_results()
    assert results.mean("plain", "event_f1") == pytest.approx(0.3)  # speech has none
    assert results.mean("plain", "lag_s", "ambient") == pytest.approx(-0.1)
    assert results.mean("plain", "lag_s") == pytest.approx((-0.1 + 0.3) / 2)
    assert math.isnan(results.mean("plain", "event_f1", "speech"))
    assert results.counts("sync", "event_f1") == {"ambient": 1, "speech": 0}
    assert results.table()["truth"] == {"event_f1": 1.0}


def test_the_best_follows_the_direction_and_is_never_a_reference():
    results = make_results()
    assert results.best(F1) == "sync"
    assert results.best(LAG) == "plain"  # 0.1 is nearer to zero than -0.2
    assert results.best(F1, "speech") is None


def test_results_are_read_back_as_they_were_saved(tmp_path):
    results = make_results()
    results.save(tmp_path / "results.json")
    assert BenchResults.load(tmp_path / "results.json") == results
    stored = json.loads((tmp_path / "results.json").read_text())
    assert stored["measures"][0]["protocol"] == "How it is measured."
    assert stored["means"]["mean"]["plain"]["event_f1"] == pytest.approx(0.3)


def test_other_schemas_are_refused(tmp_path):
    path = tmp_path / "results.json"
    path.write_text('{"schema": "harmony-bench/99"}')
    with pytest.raises(UserError, match="harmony-bench/99"):
        BenchResults.load(path)


def test_weights_count_in_the_mean_of_a_subset():
    cases = (BenchCase("a", "speech"), BenchCase("b", "speech"))
    wer = Measure("wer", "lower", "")
    variant = VariantResult("m", "", "model", {}, {"a": {"wer": 1.0}, "b": {"wer": 0.0}}, weights={"a": {"wer": 3.0}})
    assert BenchResults((wer,), cases, {"m": variant}).mean("m", "wer") == pytest.approx(3 / 4)


def test_excluded_clips_are_counted_by_reason_and_never_zero():
    cases = tuple(BenchCase(key, "speech") for key in "abc")
    excluded = {"a": {"sync_c": "no face"}, "b": {"sync_c": "no face"}}
    variant = VariantResult("m", "", "model", {}, {"c": {"sync_c": 4.0}}, excluded=excluded)
    results = BenchResults((Measure("sync_c", "higher", ""),), cases, {"m": variant})
    assert results.exclusions("m", "sync_c") == {"no face": 2}
    assert results.mean("m", "sync_c") == 4.0


def test_a_number_of_a_set_is_not_a_mean_of_numbers():
    sets = {"ambient": {"fad": 2.0}, "speech": {"fad": 4.0}, "mean": {"fad": 2.5}}
    cases = (BenchCase("a", "ambient"), BenchCase("s", "speech"))
    results = BenchResults(
        (Measure("fad", "lower", ""),), cases, {"m": VariantResult("m", "", "model", {}, {}, sets=sets)}
    )
    assert results.mean("m", "fad") == 2.5
    assert results.mean("m", "fad", "speech") == 4.0


def test_what_could_not_run_has_no_column_and_says_what_it_needs(tmp_path):
    results = BenchResults((F1, LAG), (), {}, not_run={"lag_s": "weights"})
    assert results.ran == (F1,)
    results.save(tmp_path / "results.json")
    assert BenchResults.load(tmp_path / "results.json").not_run == {"lag_s": "weights"}
