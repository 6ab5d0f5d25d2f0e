"""The Whisper path on a network of Whisper's class and random weights, with a tokenizer of bytes, built here."""

import json
import pickle

import pytest
import torch
from transformers import (
    GenerationConfig,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
    WhisperProcessor,
    WhisperTokenizer,
)
from transformers.convert_slow_tokenizer import bytes_to_unicode

from harmony_lit.containers import Clip
from metrics.bench.cases import BenchCase
from metrics.networks import Runtime
from metrics.speech.normalise import words
from metrics.speech.wer import WordErrorRate, error_rate
from metrics.speech.whisper import Whisper

SPECIALS = [
    "<|endoftext|>", "<|startoftranscript|>", "<|en|>", "<|zh|>", "<|translate|>", "<|transcribe|>", "<|startoflm|>",
    "<|startofprev|>", "<|nospeech|>", "<|notimestamps|>",
]  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A multilingual Whisper of two layers, saved as transformers saves it."""
    folder = tmp_path_factory.mktemp("whisper")
    vocabulary = {symbol: index for index, symbol in enumerate(bytes_to_unicode().values())}
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    (folder / "normalizer.json").write_text(json.dumps({"colour": "color"}))
    tokenizer = WhisperTokenizer(
        str(folder / "vocab.json"), str(folder / "merges.txt"), normalizer_file=str(folder / "normalizer.json")
    )
    stamps = [f"<|{0.02 * index:.2f}|>" for index in range(1501)]
    tokenizer.add_special_tokens({"additional_special_tokens": SPECIALS + stamps})
    number = tokenizer.convert_tokens_to_ids
    end = {name: number("<|endoftext|>") for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
    torch.manual_seed(0)
    network = WhisperForConditionalGeneration(
        WhisperConfig(
            vocab_size=len(tokenizer), d_model=32, encoder_layers=2, decoder_layers=2, encoder_attention_heads=2,
            decoder_attention_heads=2, encoder_ffn_dim=64, decoder_ffn_dim=64, init_std=0.5,
            **end, decoder_start_token_id=number("<|startoftranscript|>"), begin_suppress_tokens=None,
        )
    )  # fmt: skip
    network.generation_config = GenerationConfig(
        **end,
        decoder_start_token_id=number("<|startoftranscript|>"),
        is_multilingual=True,
        lang_to_id={f"<|{code}|>": number(f"<|{code}|>") for code in ("en", "zh")},
        task_to_id={task: number(f"<|{task}|>") for task in ("transcribe", "translate")},
        no_timestamps_token_id=number("<|notimestamps|>"),
        prev_sot_token_id=number("<|startofprev|>"),
        max_initial_timestamp_index=50,
        max_new_tokens=12,
        max_length=448,
    )
    network.save_pretrained(folder)
    WhisperProcessor(WhisperFeatureExtractor(), tokenizer).save_pretrained(folder)
    return folder


def noise(seconds, seed=0):
    return 0.1 * torch.randn(round(16_000 * seconds), generator=torch.Generator().manual_seed(seed))


def speech_clip(seconds=1.0):
    return Clip(torch.zeros(25, 3, 2, 2, dtype=torch.uint8), noise(seconds), 25.0, 16_000)


def test_wer_runs_end_to_end_with_a_randomly_initialised_whisper(folder):
    metric = WordErrorRate(Whisper(str(folder)))
    assert metric.missing() is None
    case = BenchCase("k", "speech", transcript="The colour of 25 ships.")
    heard = metric.recogniser.transcribe(speech_clip().audio, 16_000, "en")
    said = ["the", "color", "of", "25", "ships"]
    expected = error_rate(words(heard, "en", "english", {"colour": "color"}), said)
    metric.update(speech_clip(), case)
    assert float(metric.compute()["wer"]) == pytest.approx(expected)
    assert metric.measure(speech_clip(), case)["wer"].weight == 5


def test_a_known_transcript_passes_the_normaliser_of_the_checkpoint_and_the_scorer(folder):
    metric = WordErrorRate(Whisper(str(folder)))
    assert metric.score(" The color of twenty-five ships!", "the colour of 25 ships", "en").value == 0.0
    assert metric.score("良い天気です", "良い天気ですね", "ja").value == pytest.approx(1 / 7)


def test_chinese_is_heard_in_chinese_and_scored_by_character(folder):
    pytest.importorskip("opencc")
    metric = WordErrorRate(Whisper(str(folder)))
    score = metric.measure(speech_clip(), BenchCase("k", "speech", transcript="今天天氣很好。", language="zh"))["wer"]
    assert score.weight == 6 and score.value > 0
    assert metric.measure(speech_clip(), BenchCase("k", "speech", transcript="ça va", language="fr"))["wer"].excluded


def test_the_language_is_told_to_the_network_and_not_guessed(folder, monkeypatch):
    told = []
    generate = WhisperForConditionalGeneration.generate

    def listening(self, *args, **kwargs):
        told.append((kwargs["language"], kwargs["task"], kwargs["return_timestamps"]))
        return generate(self, *args, **kwargs)

    monkeypatch.setattr(WhisperForConditionalGeneration, "generate", listening)
    recogniser = Whisper(str(folder))
    recogniser.transcribe(noise(1), 16_000, "zh")
    recogniser.transcribe(noise(40), 16_000, "en")
    assert told == [("zh", "transcribe", False), ("en", "transcribe", True)]


def test_a_sound_longer_than_the_window_is_read_to_its_end(folder):
    recogniser = Whisper(str(folder))
    text = recogniser.transcribe(noise(40), 16_000, "en")
    assert text != recogniser.transcribe(noise(40)[: 16_000 * 30], 16_000, "en")


def test_the_same_sound_at_another_rate_is_brought_to_16_khz(folder, monkeypatch):
    heard = []
    extract = WhisperFeatureExtractor.__call__

    def listening(self, samples, **settings):
        heard.append((len(samples), settings["sampling_rate"]))
        return extract(self, samples, **settings)

    monkeypatch.setattr(WhisperFeatureExtractor, "__call__", listening)
    Whisper(str(folder)).transcribe(noise(1), 8_000, "en")
    assert heard == [(32_000, 16_000)]


def test_it_runs_in_half_precision_and_is_pickled(folder):
    recogniser = pickle.loads(pickle.dumps(Whisper(str(folder), Runtime("cpu", "bf16"))))
    assert isinstance(recogniser.transcribe(noise(1), 16_000, "en"), str)


def test_a_whisper_that_is_not_there_is_told(tmp_path):
    needed = WordErrorRate(Whisper(str(tmp_path / "none"))).missing()
    assert needed.startswith("a Whisper model (openai/whisper-large-v3); there is no folder")
