import json
import re

import pytest

from data.media import write_mp4
from harmony_lit.cli.main import main
from harmony_lit.errors import UserError
from metrics.av_align import AVAlign, av_align
from metrics.base import ClipMetric, Measure, Score, SetMetric
from metrics.bench.cases import BenchCase, write_cases
from metrics.bench.folders import FolderBench, unique_names
from metrics.bench.results import BenchResults
from metrics.bench.scoring import read_scored_clip


class Frames(SetMetric):
    """Number of clips, as a metric of sets."""

    measures = (Measure("clips", "higher", "Counts."),)

    def __init__(self):
        super().__init__()
        self.reset_count()

    def reset_count(self):
        self.count = 0

    def reset(self):
        super().reset()
        self.reset_count()

    def features(self, clip, case):
        return None if case.category == "speech" else 1

    def add(self, features):
        self.count += features

    def compute(self):
        import torch

        return {"clips": torch.tensor(float(self.count))}


class Faces(ClipMetric):
    measures = (Measure("sync_c", "higher", "Never finds a face in ambient clips."),)

    def measure(self, clip, case):
        return {"sync_c": Score.none("no face") if case.category == "ambient" else Score(2.0)}


class Absent(ClipMetric):
    measures = (Measure("aq", "higher", "Has no weights."),)

    def missing(self):
        return "the weights of CLIP"

    def measure(self, clip, case):
        raise AssertionError("it cannot run")


@pytest.fixture
def clips(tmp_path, clip_maker):
    folder = tmp_path / "model"
    folder.mkdir()
    for index, key in enumerate(("a", "b", "s")):
        write_mp4(folder / f"{key}.mp4", clip_maker(index))
    return folder


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "cases.jsonl"
    categories = {"a": "ambient", "b": "ambient", "s": "speech", "gone": "complex"}
    write_cases([BenchCase(key, category) for key, category in categories.items()], path)
    return path


def test_every_clip_of_a_folder_is_scored_as_its_case(clips, table, tmp_path):
    bench = FolderBench({"av": AVAlign(), "n": Frames(), "f": Faces(), "x": Absent()}, workers=0)
    results = bench.run([clips], table, tmp_path / "out", {}).results
    model = results.variants["model"]
    assert model.scores["a"]["av_align"] == av_align(read_scored_clip(clips / "a.mp4"))
    assert model.sets == {"mean": {"clips": 2.0}, "ambient": {"clips": 2.0}}
    assert results.exclusions("model", "sync_c") == {"no face": 2}
    assert results.not_run == {"aq": "the weights of CLIP"}
    assert [measure.key for measure in results.measures] == ["aq", "sync_c", "av_align", "clips"]  # the paper's first
    assert model.settings == {"cases without a clip": 1}
    assert model.clips["a"] == "../model/a.mp4"


def test_without_a_table_every_clip_stands_for_itself(clips, tmp_path):
    results = FolderBench({"av": AVAlign()}, workers=0).run([clips], None, tmp_path, {}).results
    assert results.subsets == ("any",)
    assert set(results.variants["model"].scores) == {"a", "b", "s"}


def test_clips_of_other_names_than_the_cases_are_an_error(clips, tmp_path):
    write_cases([BenchCase("other", "ambient")], tmp_path / "cases.jsonl")
    with pytest.raises(UserError, match=r"asks for other\.mp4"):
        FolderBench({"av": AVAlign()}, workers=0).run([clips], tmp_path / "cases.jsonl", tmp_path, {})


def test_what_only_measures_cannot_be_trained(capsys):
    assert main(["fit", "bench/clips"]) == 2
    assert "nothing to train" in re.sub(r"\s+", " ", capsys.readouterr().err)


def test_folders_of_one_name_are_told_apart(tmp_path):
    assert unique_names([tmp_path / "a/clips", tmp_path / "b/clips"]) == ["a/clips", "b/clips"]
    with pytest.raises(UserError, match="given twice"):
        unique_names([tmp_path, tmp_path / "x" / ".."])


def test_the_command_scores_a_folder_and_compares_two(clips, table, tmp_path, capsys):
    for name in ("one", "two"):
        main(["bench", str(clips), "--cases", str(table), "--out", str(tmp_path / name), "bench.init_args.workers=0"])
    results = BenchResults.load(tmp_path / "one" / "results.json")
    assert "av_align" in results.variants["model"].scores["a"]
    page = (tmp_path / "one" / "report.html").read_text()
    assert 'src="../model/a.mp4"' in page
    main(["bench", "--compare", str(tmp_path / "one"), str(tmp_path / "two"), "--out", str(tmp_path / "both")])
    both = BenchResults.load(tmp_path / "both" / "results.json")
    assert list(both.variants) == ["one: model", "two: model"]
    assert (tmp_path / "both" / both.variants["one: model"].clips["a"]).is_file()
    assert json.loads((tmp_path / "both" / "results.json").read_text())["schema"] == "harmony-bench/2"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "no run or checkpoint"),
        (["{empty}"], "neither a run folder nor a checkpoint"),
        (["{clips}", "--cases", "nowhere.jsonl"], "no table of cases at nowhere"),
        (["{clips}", "{empty}"], "no folder with .mp4 files"),
        (["{clips}", "--metrics", "quickstart"], "FolderBench"),
        (["--compare", "{empty}", "{clips}"], "no results at"),
        (["{clips}", "--out", "{file}/x"], "cannot write"),
    ],
)
def test_wrong_input_is_one_sentence(arguments, message, clips, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    places = {"clips": clips, "empty": tmp_path / "empty", "file": tmp_path / "file"}
    with pytest.raises(SystemExit) as stop:
        raise SystemExit(main(["bench", *(argument.format(**places) for argument in arguments)]))
    assert stop.value.code == 2
    said = re.sub(r"\s+", " ", capsys.readouterr().err)
    assert message in said
