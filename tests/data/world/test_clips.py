import hashlib
import json
import subprocess
import sys

import numpy as np
import pytest

from data.world import CATEGORIES, SPLITS, WorldConfig, make_clip
from data.world.cast import MATERIALS, SPEAKERS
from harmony_lit.containers import Annotation

CONFIG = WorldConfig()

DIGEST_PROGRAM = """
import hashlib
from data.world import WorldConfig, make_clip
digest = hashlib.sha256()
for index in {indices}:
    sample = make_clip(index, "test", WorldConfig(seed=5))
    for part in (sample.clip.video, sample.clip.audio, sample.reference):
        digest.update(part.numpy().tobytes())
print(digest.hexdigest())
"""


def digest_of(index, split, config):
    sample = make_clip(index, split, config)
    return hashlib.sha256(sample.clip.video.numpy().tobytes() + sample.clip.audio.numpy().tobytes()).hexdigest()


def test_another_process_makes_the_same_bytes_whatever_it_made_before():
    make_clip(7, "train", CONFIG)
    here = hashlib.sha256()
    for index in (4, 2, 0):
        sample = make_clip(index, "test", WorldConfig(seed=5))
        for part in (sample.clip.video, sample.clip.audio, sample.reference):
            here.update(part.numpy().tobytes())
    program = DIGEST_PROGRAM.format(indices=(4, 2, 0))
    there = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert there.strip() == here.hexdigest()


def test_seed_split_and_index_each_give_another_clip():
    digests = {digest_of(0, split, CONFIG) for split in SPLITS}
    digests |= {digest_of(3, "train", CONFIG), digest_of(0, "train", WorldConfig(seed=1))}
    assert len(digests) == len(SPLITS) + 2


def test_categories_go_round():
    assert [make_clip(i, "val", CONFIG).annotation.category for i in range(6)] == list(CATEGORIES) * 2


@pytest.mark.parametrize(("size", "frames"), [(64, 61), (32, 41), (96, 61), (128, 61)])
def test_clips_have_the_shape_asked_for(size, frames):
    config = WorldConfig(size=size, frames=frames)
    for index in range(3):
        clip = make_clip(index, "train", config).clip
        assert clip.video.shape == (frames, 3, size, size)
        assert clip.audio.shape == (frames * 640,)
        assert clip.audio.abs().max() <= 1


def test_captions_name_what_the_attributes_say():
    for index in range(12):
        note = make_clip(index, "train", CONFIG).annotation
        if note.category != "speech":
            thing = " ".join(note.attributes[name] for name in ("size", "material", "shape"))
            assert f"a ball bounces on a {thing}" in note.video_caption
            assert f"a {thing} {MATERIALS[note.attributes['material']].verb}" in note.audio_caption
        if note.category != "ambient":
            assert note.video_caption.startswith(SPEAKERS[note.speaker].look)
            assert note.audio_caption.startswith(SPEAKERS[note.speaker].voice)
        assert (note.transcript == "") == (note.category == "ambient")


def test_annotations_survive_json():
    for index in range(3):
        note = make_clip(index, "train", CONFIG).annotation
        assert Annotation.from_json(json.loads(json.dumps(note.to_json()))) == note


def test_ambient_clips_are_silent_before_the_first_strike_and_loud_right_after_each():
    for index in range(0, 30, 3):
        sample = make_clip(index, "train", CONFIG)
        audio = sample.clip.audio.numpy()
        starts = [round(event["time_s"] * 16_000) for event in sample.annotation.events]
        assert not audio[: starts[0] - 2].any()
        assert all(np.abs(audio[start : start + 400]).max() > 0.4 for start in starts)


def test_the_frame_of_an_impact_is_the_yellowest_of_its_neighbours():
    for index in (0, 2, 3, 5):
        sample = make_clip(index, "train", CONFIG)
        video = sample.clip.video.numpy().astype(int)
        yellow = (np.minimum(video[:, 0], video[:, 1]) - video[:, 2] > 120).sum((1, 2))
        for event in sample.annotation.events:
            frame = int(event["time_s"] * 25)
            assert yellow[frame] > 60
            assert yellow[frame] >= yellow[frame + 1 : frame + 5].max(initial=0)
            assert yellow[frame - 1] == 0


def test_mouths_rest_in_silence_and_open_for_vowels():
    for index in (1, 4, 7, 10):
        note = make_clip(index, "train", CONFIG).annotation
        mouth = np.array(note.attributes["mouth"])
        middles_s = (np.arange(len(mouth)) + 0.5) / 25
        first_s, last_s = note.phonemes[0]["start_s"], note.phonemes[-1]["end_s"]
        assert mouth[(middles_s < first_s - 0.1) | (middles_s > last_s + 0.1)].max(initial=0) < 0.02
        assert mouth.max() > 0.6
        assert mouth.min() >= 0
        assert mouth.max() <= 1


def test_speech_lies_inside_the_clip_and_the_reference_says_other_words():
    for index in range(1, 40, 3):
        sample = make_clip(index, "train", CONFIG)
        assert 2 <= len(sample.annotation.transcript.split()) <= 3
        assert sample.annotation.phonemes[0]["start_s"] > 0.05
        assert sample.annotation.phonemes[-1]["end_s"] < CONFIG.duration_s
        assert 16_000 <= len(sample.reference) <= round(1.6 * 16_000)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"size": 60}, "multiple of 32"),
        ({"frames": 60}, r"1 \+ 4k"),
        ({"frames": 9}, "at least 1.5 s"),
        ({"sample_rate_hz": 4000}, "at least 8000"),
        ({"fps": 0}, "positive"),
    ],
)
def test_impossible_worlds_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        WorldConfig(**arguments)


def test_unknown_splits_and_negative_indices_are_refused():
    with pytest.raises(ValueError, match="splits train, val, test, not 'dev'"):
        make_clip(0, "dev", CONFIG)
    with pytest.raises(ValueError, match="start at 0"):
        make_clip(-1, "train", CONFIG)
