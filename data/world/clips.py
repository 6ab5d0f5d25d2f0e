"""Clips of the world, made in memory: the same seed, split and index always give the same bytes."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from data.world.cast import BACKGROUNDS, DIGITS, MATERIALS, SHAPES, SIZES, SPEAKERS, Thing
from data.world.config import CATEGORIES, SPLITS, Split, WorldConfig, WorldSample
from data.world.mouth import mouth_curve
from data.world.physics import Bounces, draw_bounces
from data.world.scene import SceneFrames, render_scene
from data.world.sounds import add_at, strike_track
from data.world.speech import Utterance, speak
from data.world.stage import AMBIENT_STAGE, COMPLEX_STAGE
from harmony_lit.containers import Annotation, Clip
from harmony_lit.errors import UserError

SPEECH_LEVEL = {"speech": 0.65, "complex": 0.4}
_SPEECH_STARTS_S = 0.08  # at the earliest
_REFERENCE_S = (1.0, 1.6)
_CLOSING_S = 0.04  # speech ends at least this long before the clip


def make_clip(index: int, split: Split, config: WorldConfig) -> WorldSample:
    """Makes clip ``index`` of ``split``; the category goes round with the index, so that any range is balanced.

    Args:
        index: Which clip, from 0.
        split: ``train``, ``val`` or ``test``; no two share a clip.
        config: The world.

    Raises:
        UserError: If ``split`` is unknown or ``index`` negative, or espeakng-loader is not installed.
    """
    if split not in SPLITS:
        raise UserError(f"a world has the splits {', '.join(SPLITS)}, not {split!r}")
    if index < 0:
        raise UserError(f"clip indices start at 0, not {index}")
    rng = np.random.default_rng([config.seed, SPLITS.index(split), index])
    category = CATEGORIES[index % len(CATEGORIES)]
    scene = SceneFrames(background=_choose(rng, BACKGROUNDS))
    track = np.zeros(config.samples, np.float32)
    details: dict[str, Any] = {"attributes": {"background": scene.background}}
    takes = []  # of who speaks before what sounds: the first is the reference
    if category != "ambient":
        takes.append(_add_speech(rng, category, config, scene, track, details))
    if category != "speech":
        takes.append(_add_strikes(rng, category, config, scene, track, details))
    annotation = Annotation(
        key=f"{split}-{index:06d}",
        category=category,
        video_caption=" while ".join(details.pop("video_captions")),
        audio_caption=" while ".join(details.pop("audio_captions")),
        **details,
    )
    clip = Clip(
        video=torch.from_numpy(render_scene(scene, config)),
        audio=torch.from_numpy(np.clip(track, -1, 1)),
        fps=config.fps,
        sample_rate_hz=config.sample_rate_hz,
    )
    return WorldSample(clip, torch.from_numpy(takes[0]), annotation)


def _add_strikes(
    rng: np.random.Generator,
    category: str,
    config: WorldConfig,
    scene: SceneFrames,
    track: NDArray[np.float32],
    details: dict[str, Any],
) -> NDArray[np.float32]:
    """Lets a ball bounce in ``scene`` and ``track``; returns another take of the same object as reference."""
    thing = Thing(_choose(rng, MATERIALS), _choose(rng, SHAPES), _choose(rng, SIZES))
    layout = AMBIENT_STAGE if category == "ambient" else COMPLEX_STAGE
    bounces = draw_bounces(rng, config.duration_s, layout.gap_s, layout.gravity)
    scene.thing, scene.stage, scene.bounces = thing, layout, bounces
    times_s = bounces.within(config.duration_s)
    track += strike_track(thing, times_s, config.samples, config.sample_rate_hz)
    details["events"] = tuple({"time_s": round(float(t), 4), "label": thing.material} for t in times_s)
    details["attributes"] |= {"material": thing.material, "shape": thing.shape, "size": thing.size}
    details.setdefault("video_captions", []).append(f"a ball bounces on a {thing.name}")
    details.setdefault("audio_captions", []).append(f"a {thing.name} {MATERIALS[thing.material].verb}")
    reference_s = float(rng.uniform(*_REFERENCE_S))
    other: Bounces = draw_bounces(rng, reference_s, layout.gap_s, layout.gravity)
    samples = round(reference_s * config.sample_rate_hz)
    return strike_track(thing, other.within(reference_s), samples, config.sample_rate_hz)


def _add_speech(
    rng: np.random.Generator,
    category: str,
    config: WorldConfig,
    scene: SceneFrames,
    track: NDArray[np.float32],
    details: dict[str, Any],
) -> NDArray[np.float32]:
    """Lets somebody talk in ``scene`` and ``track``; returns other words of the same voice as reference."""
    name = _choose(rng, SPEAKERS)
    speaker = SPEAKERS[name]
    words = [str(word) for word in rng.choice(DIGITS, size=int(rng.integers(2, 4)), replace=False)]
    longest_s = config.duration_s - _SPEECH_STARTS_S - _CLOSING_S
    utterance = _fitting(name, words, longest_s, config.sample_rate_hz)
    spare_s = longest_s - len(utterance.audio) / config.sample_rate_hz
    start_s = _SPEECH_STARTS_S + float(rng.uniform(0, spare_s))
    level = SPEECH_LEVEL[category]
    add_at(track, level * utterance.audio, start_s, config.sample_rate_hz)
    mouth = mouth_curve(utterance, start_s, config.frames, config.fps, config.sample_rate_hz)
    scene.speaker, scene.mouth, scene.blinks = name, mouth, _draw_blinks(rng, config)
    scene.alone = category == "speech"
    details["transcript"] = " ".join(words)
    details["speaker"] = name
    details["phonemes"] = tuple(
        {"start_s": round(start_s + p.start_s, 4), "end_s": round(start_s + p.end_s, 4), "phoneme": p.name}
        for p in utterance.phonemes
    )
    details["attributes"] |= {
        "speaker": name,
        "voice": speaker.voice,
        "hair": speaker.hair_name,
        "mouth": [round(float(opening), 3) for opening in mouth],
    }
    details.setdefault("video_captions", []).append(f"{speaker.look} talks")
    details.setdefault("audio_captions", []).append(f"{speaker.voice} speaks")
    rest = [word for word in DIGITS if word not in words]
    others = [str(word) for word in rng.choice(rest, size=3, replace=False)]
    said = SPEECH_LEVEL["speech"] * _fitting(name, others, _REFERENCE_S[1], config.sample_rate_hz).audio
    shortest = round(_REFERENCE_S[0] * config.sample_rate_hz)
    return np.pad(said, (0, max(0, shortest - len(said)))).astype(np.float32)


def _fitting(speaker: str, words: list[str], longest_s: float, sample_rate_hz: int) -> Utterance:
    """Says ``words``, dropping from the end of the list in place until they last at most ``longest_s``."""
    utterance = speak(speaker, words, sample_rate_hz)
    while len(utterance.audio) > longest_s * sample_rate_hz and len(words) > 1:
        words.pop()
        utterance = speak(speaker, words, sample_rate_hz)
    return utterance


def _draw_blinks(rng: np.random.Generator, config: WorldConfig) -> NDArray[np.bool_]:
    """(frames,) True while the eyes are closed: once or twice for three frames."""
    blinks = np.zeros(config.frames, bool)
    for start in rng.integers(0, config.frames, size=int(rng.integers(1, 3))):
        blinks[start : start + 3] = True
    return blinks


def _choose(rng: np.random.Generator, options: Any) -> str:
    """One of ``options`` (or of a dict's keys), each as likely."""
    names = list(options)
    return str(names[int(rng.integers(len(names)))])
