import itertools
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from torch.utils.tensorboard import SummaryWriter

from data.media import write_mp4
from metrics.base import Measure, OffsetCurve, Trace
from metrics.bench.cases import BenchCase
from metrics.bench.measuring import Findings
from metrics.bench.report import write_report
from metrics.bench.report.svg import match_events, offset_svg, trace_svg
from metrics.bench.report.training import read_training, smoothed
from metrics.bench.report.worst import badness
from metrics.bench.results import BenchResults, VariantResult

_VOID = {"meta", "link", "br", "input", "img"}


class Page(HTMLParser):
    """Checks that tags close in order, and collects videos."""

    def __init__(self):
        super().__init__()
        self.open, self.videos = [], []

    def handle_starttag(self, tag, attrs):
        if tag not in _VOID:
            self.open.append(tag)
        if tag == "video":
            self.videos.append(dict(attrs)["src"])

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture
def page(tmp_path, clip_maker):
    cases = (BenchCase("a-1", "ambient", "<b>bold</b> & seen"), BenchCase("s-1", "speech", transcript="one"))
    variants = {}
    for name, role in (("ground_truth", "reference"), ("plain", "model"), ("sync_cfg", "model"), ("mixed", "control")):
        clips = {}
        for index, case in enumerate(cases):
            clips[case.key] = f"{name}-{case.key}.mp4"
            write_mp4(tmp_path / clips[case.key], clip_maker(index))
        scores = {c.key: {"f1": len(name) / 20, "sync_c": 5.0 + index} for index, c in enumerate(cases)}
        variants[name] = VariantResult(name, "", role, clips, scores, excluded={"s-1": {"wer": "no <speech>"}})
    measures = (
        Measure("sync_c", "higher", "By ear.", title="Sync-C", detector="SyncNet", checkpoint="net.model sha256:12"),
        Measure("f1", "higher", "By eye."),
        Measure("wer", "lower", "By hand.", title="WER"),
        Measure("iq", "higher", "By a network.", title="IQ"),
    )
    results = BenchResults(measures, cases, variants, {"name": "run"}, {"iq": "the package pyiqa"})
    trace, curve = Trace((0.0, 1.0), (1.0, 0.0), (0.1,), (0.12,), 0.36), OffsetCurve((-1, 0, 1), (3.0, 1.0, 2.0))
    found = Findings(results, {"plain": {"a-1": trace}}, {"plain": {"a-1": curve}}, {})
    write_report(tmp_path / "report.html", found, tmp_path, {"cases": "2"}, {"seed": 1})
    return tmp_path / "report.html"


def test_the_page_is_well_formed_and_its_clips_are_there(page):
    parser = Page()
    parser.feed(page.read_text())
    assert parser.open == []
    assert len(parser.videos) == 2 * 3  # the control is not shown beside the others
    for src in parser.videos:
        assert (page.parent / src).is_file()


def test_the_page_needs_no_network_and_escapes_what_users_write(page):
    text = page.read_text()
    assert "&lt;b&gt;bold&lt;/b&gt; &amp; seen" in text
    assert not re.search(r"(src|href)=\"(https?:)?//", text)


def test_the_better_model_is_marked_and_not_the_truth(page):
    marked = re.findall(r'<th scope="row"[^>]*>([^<]+)</th>\s*<td[^>]*>[^<]+</td><td class="best"', page.read_text())
    assert set(marked) == {"SyncCFG"}


def test_the_page_says_what_has_no_number_and_why(page):
    text = page.read_text()
    assert "IQ: not run, needs the package pyiqa." in text
    assert "WER, Plain: 1 clips excluded (no &lt;speech&gt;)." in text
    assert "net.model sha256:12" in text


def test_the_papers_numbers_stand_apart_from_ours(page):
    rows = re.findall(
        r'<tr( class="elsewhere")?><th scope="row">([^<]+) <span class="id">([^<]+)</span>', page.read_text()
    )
    assert ("", "Plain", "measured here") in rows
    assert (' class="elsewhere"', "Harmony", "from the paper") in rows
    assert "other people&#39;s numbers" in page.read_text()
    ovi = re.search(r"Ovi <span.*?</tr>", page.read_text(), re.DOTALL).group()
    assert re.findall(r"<td>([^<]+)</td>", ovi) == ["4.04"]  # only the column that we measured


def test_worst_is_what_most_measures_rank_low():
    measures = (Measure("good", "higher", ""), Measure("off", "zero", ""))
    cases = tuple(BenchCase(key, "ambient") for key in "abc")
    scores = {"a": {"good": 0.9, "off": -0.1}, "b": {"good": 0.1, "off": -0.9}, "c": {"good": 0.5}}
    results = BenchResults(measures, cases, {"m": VariantResult("m", "", "model", {}, scores)})
    bad = badness(results)
    assert bad["b", "m"] == 1.0
    assert bad["a", "m"] == 0.0
    assert bad["c", "m"] == 0.5


def test_the_offset_curve_marks_its_least():
    svg = offset_svg(OffsetCurve((-2, -1, 0, 1, 2), (9.0, 8.0, 7.0, 3.0, 8.0)))
    assert "least distance 3.00 at an offset of 1 frames" in svg
    zero, low = (float(re.search(f'class="{name}".*? (?:x1|cx)="([0-9.]+)"', svg).group(1)) for name in ("zero", "low"))
    assert low > zero


def slow_match(visual, audible, tolerance):
    """As many pairs as the best assignment has, by trying all."""
    small, large = sorted((visual, audible), key=len)
    best = 0
    for chosen in itertools.permutations(large, len(small)):
        best = max(best, sum(abs(a - b) <= tolerance for a, b in zip(small, chosen, strict=True)))
    return best


def test_events_are_matched_once_and_within_tolerance():
    rng = np.random.default_rng(0)
    for _ in range(30):
        visual, audible = (sorted(np.round(rng.uniform(0, 1, rng.integers(0, 5)), 3)) for _ in range(2))
        pairs = match_events(visual, audible, 0.08)
        assert all(abs(v - a) <= 0.08 + 1e-9 for v, a in pairs)
        assert len({v for v, _ in pairs}) == len({a for _, a in pairs}) == len(pairs)
        assert len(pairs) >= slow_match(visual, audible, 0.08) - 1


def test_a_trace_marks_hits_and_misses():
    svg = trace_svg(Trace((0.0, 1.0, 0.0), (0.0, 0.5), (0.5, 1.5), (0.53,), 2.0))
    assert svg.count('class="hit"') == 2
    assert svg.count('class="miss"') == 1
    assert svg.count('class="pair"') == 1


def test_curves_of_a_killed_and_resumed_stage_are_read_as_one(tmp_path):
    folder = tmp_path / "tb" / "joint"
    for values, first in (((5.0, 4.0, 3.0), 0), ((2.0, 1.0), 2)):
        with SummaryWriter(str(folder), filename_suffix=f".{first}") as writer:
            for step, value in enumerate(values, start=first):
                writer.add_scalar("train/loss", value, step)
            writer.add_image("picture", np.zeros((3, 4, 4), np.uint8), 0)
    last = max(folder.iterdir(), key=lambda file: file.name[-1])
    with last.open("ab") as file:
        file.write(b"\x40\0\0\0\0\0\0\0half a record")
    (stage,) = read_training(tmp_path)
    assert stage.stage == "joint"
    assert stage.scalars == {"train/loss": [(0, 5.0), (1, 4.0), (2, 2.0), (3, 1.0)]}


def test_smoothing_keeps_a_constant_and_leaves_short_curves_alone():
    assert smoothed([(i, 3.0) for i in range(50)])[0][1] == pytest.approx(3.0)
    assert smoothed([(0, 1.0), (1, 2.0)]) == [(0, 1.0), (1, 2.0)]
