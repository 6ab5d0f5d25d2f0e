import dataclasses
import json
import shutil

import pytest
import torch

from data.media import read_audio, read_clip
from harmony_lit.errors import UserError
from harmony_lit.guidance import NoGuidance, SyncCFG
from metrics.av_align import AVAlign
from metrics.bench.bench import Bench
from metrics.bench.results import BenchResults
from metrics.bench.run import measure_run
from metrics.bench.scoring import Scorer
from metrics.bench.variants import CodecRoundTrip, GroundTruth, Sampled, Shuffled, derangement

VARIANTS = ("ground_truth", "codec_roundtrip", "no_guidance", "sync_cfg", "shuffled")


def make_bench(clip_shards, per_category=2, workers=0, **changed):
    variants = {
        "ground_truth": GroundTruth(),
        "codec_roundtrip": CodecRoundTrip(),
        "no_guidance": Sampled(NoGuidance()),
        "sync_cfg": Sampled(SyncCFG()),
        "shuffled": Shuffled("sync_cfg"),
    }
    metrics = {"av_align": AVAlign()}
    return Bench(metrics, {**variants, **changed}, str(clip_shards), per_category=per_category, workers=workers)


@pytest.fixture(scope="module")
def benched(tmp_path_factory, clip_shards, studio_factory):
    run = tmp_path_factory.mktemp("run")
    return run, measure_run(run, make_bench(clip_shards), studio_factory(), parameters=1234)


@pytest.fixture
def copied(tmp_path, benched):
    shutil.copytree(benched[0], tmp_path / "run")
    return tmp_path / "run", benched[1]


def test_a_bench_writes_clips_results_summary_and_report(benched):
    run, results = benched
    assert tuple(results.variants) == VARIANTS
    summary = json.loads((run / "summary.json").read_text())
    assert list(summary) == ["wall_s", "parameters", "codec", "bench"]
    assert summary["parameters"] == 1234
    assert summary["wall_s"]["total"] > 0
    assert tuple(summary["bench"]) == VARIANTS
    assert "av_align" in summary["bench"]["ground_truth"]
    assert summary["codec"]["psnr_db"] > 5
    assert set(summary["codec"]["av_align"]) == {"truth", "round_trip"}
    assert BenchResults.load(run / "bench/results.json").table() == results.table()
    page = (run / "report.html").read_text()
    for name in VARIANTS:
        for case in results.cases:
            assert (run / "bench" / name / f"{case.key}.mp4").is_file()
    assert 'src="bench/sync_cfg/test-000.mp4"' in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert list((run / "tb/bench").glob("events*"))


def test_every_category_has_cases_with_and_without_a_first_frame(benched):
    _, results = benched
    for category in ("ambient", "speech", "complex"):
        given = [case.reference_image is not None for case in results.cases if case.category == category]
        assert given == [True, False]
    assert [case.seed for case in results.cases] == list(range(6))


def test_shuffled_takes_its_sound_from_another_clip(benched):
    run, results = benched
    for seen, heard in derangement(results.cases):
        assert seen.key != heard.key
        assert seen.category == heard.category
        shuffled = run / "bench/shuffled" / f"{seen.key}.mp4"
        sound = read_audio(run / "bench/sync_cfg" / f"{heard.key}.flac")
        assert torch.equal(read_audio(shuffled.with_suffix(".flac")), sound)
        picture = read_clip(run / "bench/sync_cfg" / f"{seen.key}.mp4").video.float()
        assert (read_clip(shuffled).video.float() - picture).abs().mean() < 6


def test_the_truth_is_taken_over_byte_by_byte(benched):
    run, results = benched
    for case in results.cases:
        for suffix in ("mp4", "flac"):
            copied, given = (run / "bench" / f / f"{case.key}.{suffix}" for f in ("ground_truth", "cases"))
            assert copied.read_bytes() == given.read_bytes()


def test_a_bench_that_lost_clips_makes_only_those_again(copied, clip_shards, studio):
    run, results = copied
    before = {path: path.read_bytes() for path in (run / "bench").rglob("*.mp4")}
    (run / "bench/no_guidance/test-000.mp4").unlink()
    calls = studio.denoise.calls
    again = measure_run(run, make_bench(clip_shards), studio, parameters=1234)
    assert studio.denoise.calls - calls == studio.sampler.steps
    assert {path: path.read_bytes() for path in (run / "bench").rglob("*.mp4")} == before
    assert again.table() == results.table()


def test_other_weights_or_guidance_make_the_clips_anew(copied, clip_shards, studio):
    run, _ = copied
    calls = studio.denoise.calls
    changed = make_bench(clip_shards, sync_cfg=Sampled(SyncCFG(video_scale=5)))
    changed.run(run, studio, {})
    assert studio.denoise.calls - calls == 6 * 2 * 3
    calls = studio.denoise.calls
    changed.run(run, dataclasses.replace(studio, weights="w1"), {})
    assert studio.denoise.calls - calls == 6 * 2 * (1 + 3)


def test_scores_do_not_depend_on_the_workers(benched):
    run, results = benched
    jobs = [(case, run / "bench/ground_truth" / f"{case.key}.mp4", False) for case in results.cases]
    with Scorer.start({"av_align": AVAlign()}, workers=1) as scorer:
        found = {case.key: scored.scores for (case, *_), scored in zip(jobs, scorer.score(jobs), strict=True)}
    found = {key: {name: score.value for name, score in scores.items()} for key, scores in found.items()}
    assert found == results.variants["ground_truth"].scores


def test_too_few_clips_of_a_category_are_told(tmp_path, clip_shards, studio):
    with pytest.raises(UserError, match="only 4 ambient, 4 speech, 4 complex"):
        measure_run(tmp_path, make_bench(clip_shards, per_category=5), studio, parameters=1)


def test_two_metrics_of_one_name_are_refused(clip_shards):
    with pytest.raises(UserError, match="av_align"):
        Bench({"a": AVAlign(), "b": AVAlign()}, {}, str(clip_shards))


def test_shuffled_needs_the_variant_that_it_shuffles(tmp_path, clip_shards, studio):
    bench = Bench({"a": AVAlign()}, {"shuffled": Shuffled("sync_cfg")}, str(clip_shards), per_category=1, workers=0)
    with pytest.raises(UserError, match="sync_cfg"):
        bench.run(tmp_path, studio, {})


@pytest.mark.parametrize(("per_category", "count"), [(None, 150), (10, 30)])
def test_a_bench_of_the_shipped_cases_takes_all_or_as_many_of_each_category_as_are_asked_for(
    tmp_path, per_category, count
):
    cases = Bench({"a": AVAlign()}, {}, cases="harmony", per_category=per_category).read_cases(tmp_path)
    assert len(cases) == count
    assert len({case.category for case in cases}) == 3


def test_clips_without_a_number_give_all_of_the_split(tmp_path, clip_shards):
    assert len(Bench({"a": AVAlign()}, {}, str(clip_shards)).read_cases(tmp_path)) == 12


def test_zero_cases_of_each_category_are_refused(clip_shards):
    with pytest.raises(UserError, match="per_category"):
        Bench({"a": AVAlign()}, {}, str(clip_shards), per_category=0)
