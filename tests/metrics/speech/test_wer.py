import os
import random

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torchmetrics.text import WordErrorRate as Reference

from harmony_lit.containers import Clip
from metrics.bench.cases import BenchCase
from metrics.speech.recogniser import Recogniser
from metrics.speech.wer import WordErrorRate, error_rate

VOCABULARY = ["the", "ship", "sails", "at", "dawn", "and", "nobody", "waves", "back", "today"]


class Reader(Recogniser):
    """Hears what the clip's one sample says is the number of the transcript to give."""

    def __init__(self, transcripts, languages=("en",), spellings=None):
        self.transcripts, self.languages, self.list = transcripts, languages, spellings or {}

    def describe(self):
        return "a reader"

    def understands(self, language):
        return language in self.languages

    def spellings(self):
        return self.list

    def transcribe(self, waveform, sample_rate_hz, language):
        return self.transcripts[int(waveform[0])]


def clip(number=0):
    return Clip(torch.zeros(1, 3, 2, 2, dtype=torch.uint8), torch.tensor([float(number)]), 25.0, 16_000)


def case(transcript, language="en"):
    return BenchCase("k", "speech", transcript=transcript, language=language)


def transcripts(count, seed=0):
    """Pairs of what was heard and said, some of them far off, some heard as nothing."""
    rng = random.Random(seed)
    pairs = []
    for _ in range(count):
        said = rng.choices(VOCABULARY, k=rng.randint(1, 12))
        heard = [rng.choice(VOCABULARY) if rng.random() < 0.3 else word for word in said if rng.random() < 0.8]
        heard += rng.choices(VOCABULARY, k=rng.choice((0, 0, 0, 4)))
        pairs.append((" ".join(heard), " ".join(said)))
    return pairs


def reference(pairs, mean):
    if mean == "corpus":
        metric = Reference()
        metric.update([heard for heard, _ in pairs], [said for _, said in pairs])
        return float(metric.compute())
    single = []
    for heard, said in pairs:
        metric = Reference()
        metric.update([heard], [said])
        single.append(float(metric.compute()))
    return sum(single) / len(single)


def measured(pairs, mean, numbers=None):
    metric = WordErrorRate(Reader([heard for heard, _ in pairs]), "basic", mean)
    for number in range(len(pairs)) if numbers is None else numbers:
        metric.update(clip(number), case(pairs[number][1]))
    return metric


@pytest.mark.parametrize("mean", ["corpus", "sample"])
@pytest.mark.parametrize("seed", [0, 1])
def test_both_means_are_torchmetrics_on_many_random_transcripts(mean, seed):
    pairs = transcripts(300, seed)
    assert float(measured(pairs, mean).compute()["wer"]) == pytest.approx(reference(pairs, mean), rel=1e-5)


def test_the_two_means_differ():
    pairs = [("dawn", "ship"), ("the ship sails at dawn", "the ship sails at dawn")]
    assert float(measured(pairs, "corpus").compute()["wer"]) == pytest.approx(1 / 6)
    assert float(measured(pairs, "sample").compute()["wer"]) == pytest.approx(1 / 2)


def _rank(rank, store, results):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
    pairs = transcripts(41)
    own = range(30) if rank == 0 else range(30, 41)
    for mean in ("corpus", "sample"):
        results[rank, mean] = float(measured(pairs, mean, own).compute()["wer"])
    dist.destroy_process_group()


@pytest.mark.skipif(os.name == "nt", reason="needs fork")
def test_two_ranks_of_unequal_shares_give_torchmetrics_on_all(tmp_path):
    context = mp.get_context("fork")
    with context.Manager() as manager:
        results = manager.dict()
        mp.start_processes(_rank, (str(tmp_path / "store"), results), nprocs=2, start_method="fork")
        for (_, mean), value in results.items():
            assert value == pytest.approx(reference(transcripts(41), mean), rel=1e-5)
        assert len(results) == 4


def test_words_added_can_make_more_errors_than_there_are_words():
    assert error_rate(["a", "b", "c", "d"], ["x"]) == 4.0
    assert error_rate([], ["x", "y"]) == 1.0


def test_known_transcripts_through_the_normaliser_and_the_scorer():
    metric = WordErrorRate(Reader([], spellings={"grey": "gray"}))
    assert metric.score("Twenty five grey ships won't sail.", "25 gray ships will not sail", "en").value == 0.0
    one_of_four = metric.score("the ship sailed today", "The ship sails today.", "en")
    assert (one_of_four.value, one_of_four.weight) == (0.25, 4)


def test_chinese_and_japanese_are_scored_by_character():
    pytest.importorskip("opencc")
    metric = WordErrorRate(Reader(["他今天不回家"], languages=("zh",)))
    metric.update(clip(), case("他明天不回來，家？", "zh"))  # 他明天不回来家: 明 for 今 and an added 来
    assert float(metric.compute()["wer"]) == pytest.approx(2 / 7)
    assert metric.score("良い天気", "良い天機", "ja").value == 0.25


def test_a_clip_without_a_transcript_is_left_out_and_one_in_a_foreign_language_counted():
    metric = WordErrorRate(Reader(["x"]))
    assert metric.measure(clip(), case("")) == {}
    metric.update(clip(), case("你好", "zh"))
    metric.update(clip(), case("?!"))
    assert float(metric.excluded()["wer"]) == 2
    assert metric.measure(clip(), case("你好", "zh"))["wer"].excluded == "the recogniser does not know zh"


def test_the_protocol_names_who_listens_and_both_settings():
    corpus, sample = WordErrorRate(Reader([])).measures[0], WordErrorRate(Reader([]), "basic", "sample").measures[0]
    assert "a reader" in corpus.protocol and "english normaliser" in corpus.protocol
    assert "basic normaliser" in sample.protocol and corpus.protocol != sample.protocol
