import json
import pickle
import string

import pytest
import torch
from transformers import (
    ClapAudioConfig,
    ClapConfig,
    ClapFeatureExtractor,
    ClapModel,
    ClapProcessor,
    ClapTextConfig,
    RobertaTokenizer,
)

from harmony_lit.containers import Clip
from metrics.bench.cases import BenchCase
from metrics.joint_embedding.clap import Clap, ClapNetwork
from metrics.networks import Runtime

CPU = Runtime("cpu")
DOG = BenchCase("k", "ambient", audio_caption="a dog barks")


@pytest.fixture(scope="module")
def clap_folder(tmp_path_factory):
    """A CLAP of a few thousand parameters with random values, saved as the hub's are."""
    folder = tmp_path_factory.mktemp("clap")
    torch.manual_seed(0)
    words = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", "\u0120", *string.ascii_lowercase]
    text = ClapTextConfig(
        vocab_size=len(words), hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32
    )
    sound = ClapAudioConfig(
        patch_embeds_hidden_size=8, depths=[1, 1], num_attention_heads=[1, 2], hidden_size=16, num_hidden_layers=2
    )
    model = ClapModel(ClapConfig(text_config=text.to_dict(), audio_config=sound.to_dict(), projection_dim=12))
    model.save_pretrained(folder)
    (folder / "vocab.json").write_text(json.dumps({word: index for index, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = RobertaTokenizer.from_pretrained(folder, model_max_length=32)
    ClapProcessor(ClapFeatureExtractor(truncation="rand_trunc"), tokenizer).save_pretrained(folder)
    return str(folder)


def value(metric, clip, case):
    metric = pickle.loads(pickle.dumps(metric))
    assert metric.missing() is None
    metric.update(clip, case)
    return float(metric.compute()["clap"])


def test_clap_runs_end_to_end_with_randomly_initialised_clap_model(clap_folder, noise_clip):
    metric = Clap(clap_folder, CPU)
    found = value(metric, noise_clip, DOG)
    assert -1 <= found <= 1
    cat = BenchCase("k", "ambient", audio_caption="a cat purrs")
    assert value(metric, noise_clip, cat) != pytest.approx(found, abs=1e-4)


def test_the_score_is_the_cosine_that_the_model_itself_gives(clap_folder):
    sound = 0.1 * torch.randn(3 * 48_000, generator=torch.Generator().manual_seed(0))
    clip = Clip(torch.zeros(75, 3, 2, 2, dtype=torch.uint8), sound, 25.0, 48_000)
    model, processor = ClapModel.from_pretrained(clap_folder).eval(), ClapProcessor.from_pretrained(clap_folder)
    inputs = processor(text=[DOG.audio_caption], audio=[sound.numpy()], sampling_rate=48_000, return_tensors="pt")
    with torch.inference_mode():
        expected = float(model(**inputs).logits_per_audio / model.logit_scale_a.exp())
    assert value(Clap(clap_folder, CPU), clip, DOG) == pytest.approx(expected, abs=1e-5)


def test_of_a_long_sound_the_first_ten_seconds_are_heard_and_no_random_piece(clap_folder):
    sound = 0.1 * torch.randn(12 * 48_000, generator=torch.Generator().manual_seed(0))
    network = ClapNetwork(clap_folder, CPU)
    torch.testing.assert_close(network.hear(sound), network.hear(sound[: 10 * 48_000]))
    assert not torch.allclose(network.hear(sound), network.hear(sound[-10 * 48_000 :]), atol=1e-5)


def test_a_case_without_an_audio_caption_is_left_out_and_a_clip_without_sound_excluded(clap_folder, noise_clip):
    metric = Clap(clap_folder, CPU)
    assert metric.measure(noise_clip, BenchCase("k", "speech")) == {}
    mute = Clip(noise_clip.video, torch.zeros(0), 30.0, 24_000)
    assert metric.measure(mute, DOG)["clap"].excluded == "no sound"


def test_without_a_model_the_metric_says_what_it_needs(tmp_path):
    assert "CLAP model" in Clap().missing()
    assert str(tmp_path / "none") in Clap(str(tmp_path / "none")).missing()
