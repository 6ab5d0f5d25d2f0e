import pytest

from data.world import WorldConfig, make_clip
from metrics.bench.cases import BenchCase
from metrics.world import CaptionAccuracy, EventF1, Lag, LipCorr
from metrics.world.functional import lag_s, lip_corr


def samples(count):
    made = [make_clip(index, "val", WorldConfig()) for index in range(count)]
    return [
        (s.clip, BenchCase(s.annotation.key, s.annotation.category, attributes=s.annotation.attributes)) for s in made
    ]


def test_each_metric_is_the_mean_over_the_clips_it_applies_to():
    pairs = samples(6)
    metrics = [EventF1(), Lag(), LipCorr(), CaptionAccuracy()]
    for clip, case in pairs:
        for metric in metrics:
            metric.update(clip, case)
    values = {name: float(value) for metric in metrics for name, value in metric.compute().items()}
    talking = [lip_corr(clip) for clip, case in pairs if case.category != "ambient"]
    assert values["lip_corr"] == pytest.approx(sum(talking) / len(talking))
    assert values["lag_s"] == pytest.approx(sum(abs(lag_s(clip)) for clip, _ in pairs) / len(pairs), abs=1e-6)
    assert values["event_f1"] == 1
    assert values["caption_accuracy"] == 1
    assert float(metrics[0].event_f1_weight) == 4
    assert float(metrics[2].lip_corr_weight) == 4


def test_speech_alone_is_left_out_of_event_f1_and_a_case_without_attributes_of_caption_accuracy():
    clip, case = samples(2)[1]
    assert EventF1().measure(clip, case) == {}
    assert CaptionAccuracy().measure(clip, BenchCase("key", "speech")) == {}


def test_traces_show_what_was_detected():
    (clip, case), (spoken, speech) = samples(2)[:2]
    trace = EventF1().trace(clip, case)
    assert LipCorr().trace(clip, case) is None
    assert EventF1().trace(spoken, speech) is None
    assert max(LipCorr().trace(spoken, speech).visual) == pytest.approx(1)
    assert len(trace.visual_s) == len(trace.audible_s) > 0
    assert max(trace.visual) == pytest.approx(1)
    assert trace.duration_s == pytest.approx(2.44)
