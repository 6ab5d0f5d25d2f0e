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
