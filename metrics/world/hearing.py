"""What is heard in a clip, from its samples alone: strikes, what was struck, who speaks, and how loud the speech is.

Strikes are found with templates of the world's own sounds, which makes them stand out from speech: the spectrum that
appears at an onset is compared with the one that each kind of strike would add to silence.

Shape legend: S samples, N spectrogram frames (10 ms), M mel bands, K kinds of strike, F video frames.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import librosa
import numpy as np
from librosa.filters import mel as mel_filters
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d
from scipy.signal import find_peaks

from data.world.cast import MATERIALS, SHAPES, SIZES, SPEAKERS, Thing
from data.world.sounds import strike_sound
from harmony_lit.containers import Clip

HOPS_PER_S = 100
_BANDS = 40
_AFTER = (0, 7)  # spectrogram frames that hold what an onset adds ...
_BEFORE = (-6, -2)  # ... to what was there before
_LATER = ((7, 15), (15, 30))  # and how it decays
_LEAST_SCORE = 0.15  # of a strike of the world
_LEAST_SHARE = 0.35  # of the clip's clearest strike
_CERTAIN_SHARE = 0.6  # of it, to help to tell what is struck
_SHORTEST_GAP_S = 0.25
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Strikes:
    """Strikes of a clip: ``times_s`` (E,), ``levels`` (E,) relative to the world's, and what is struck, if any is."""

    times_s: Array
    levels: Array
    thing: Thing | None


def things() -> tuple[Thing, ...]:
    """All that can be struck, in a fixed order."""
    return tuple(Thing(m, shape, size) for m in MATERIALS for shape in SHAPES for size in SIZES)


def mel_magnitudes(audio: NDArray[np.float32], sample_rate_hz: int) -> Array:
    """(N, M) magnitudes in mel bands, every 10 ms; frame n is centred on n / 100 s."""
    spectrum = librosa.stft(audio, n_fft=_window(sample_rate_hz), hop_length=sample_rate_hz // HOPS_PER_S)
    power = _mel_filters(sample_rate_hz) @ (np.abs(spectrum) ** 2)
    return np.sqrt(power).T.astype(np.float64)


def find_strikes(magnitudes: Array, sample_rate_hz: int) -> Strikes:
    """Strikes in a spectrogram (N, M)."""
    templates = _templates(sample_rate_hz)
    added = _added(magnitudes)
    scores = np.stack([_score(added, onset) for onset in templates.onset])  # (K, N)
    candidates = _peaks(scores.max(0), _CERTAIN_SHARE)
    if len(candidates) == 0:
        return Strikes(np.zeros(0), np.zeros(0), None)
    kind = _struck(magnitudes, candidates, templates)
    peaks = _peaks(scores[kind], _LEAST_SHARE)
    return Strikes(peaks / HOPS_PER_S, scores[kind, peaks], things()[kind])


def audible_events(clip: Clip) -> Array:
    """Times in seconds at which something is struck."""
    return find_strikes(mel_magnitudes(clip.audio.numpy(), clip.sample_rate_hz), clip.sample_rate_hz).times_s


def speech_envelope(clip: Clip) -> Array:
    """Loudness of the speech in each video frame: (F,), in arbitrary units; strikes are taken away."""
    magnitudes = mel_magnitudes(clip.audio.numpy(), clip.sample_rate_hz)
    remaining = _without_strikes(magnitudes, find_strikes(magnitudes, clip.sample_rate_hz), clip.sample_rate_hz)
    loudness = uniform_filter1d(np.linalg.norm(remaining, axis=1), 5)
    middles_s = (np.arange(clip.video.shape[0]) + 0.5) / clip.fps
    return np.interp(middles_s, np.arange(len(loudness)) / HOPS_PER_S, loudness)


def heard_attributes(clip: Clip, category: str) -> dict[str, str]:
    """What is heard in a clip of ``category``: of ``material``, ``size`` and ``speaker`` what can be told."""
    heard: dict[str, str] = {}
    magnitudes = mel_magnitudes(clip.audio.numpy(), clip.sample_rate_hz)
    strikes = find_strikes(magnitudes, clip.sample_rate_hz)
    if category != "speech" and strikes.thing is not None:
        heard |= {"material": strikes.thing.material, "size": strikes.thing.size, "shape": strikes.thing.shape}
    if category != "ambient":
        pitch_hz = speech_pitch_hz(clip, np.zeros(0) if category == "speech" else strikes.times_s)
        if pitch_hz is not None:
            heard["speaker"] = min(SPEAKERS, key=lambda name: abs(np.log(pitch_hz / SPEAKERS[name].pitch_hz)))
    return heard


def speech_pitch_hz(clip: Clip, strikes_s: Array) -> float | None:
    """Median fundamental of what is voiced, away from ``strikes_s``; None if nothing is.

    The fundamental of a frame is the shortest lag whose normalised autocorrelation comes near the highest one.
    """
    rate = clip.sample_rate_hz
    window, hop = round(0.05 * rate), round(0.02 * rate)
    audio = clip.audio.numpy()
    if len(audio) < window:
        return None
    frames = np.lib.stride_tricks.sliding_window_view(audio, window)[::hop]
    middles_s = (np.arange(len(frames)) * hop + window / 2) / rate
    rms = np.sqrt((frames**2).mean(1))
    since = middles_s[:, None] - strikes_s[None]
    clear = ~((since > -0.03) & (since < 0.2)).any(1)
    frames = frames[clear & (rms > 0.25 * np.percentile(rms, 95)) & (rms > 1e-3)]
    if len(frames) == 0:
        return None
    spectrum = np.fft.rfft(frames * np.hanning(window), 2 * window)
    correlation = np.fft.irfft(np.abs(spectrum) ** 2)[:, :window]
    taper = np.fft.irfft(np.abs(np.fft.rfft(np.hanning(window), 2 * window)) ** 2)[:window]
    shortest, longest = round(rate / 420), round(rate / 65)
    ratio = (correlation / correlation[:, :1] / (taper / taper[0]).clip(0.05))[:, shortest:longest]
    best = ratio.max(1)
    peaks = (
        (ratio[:, 1:-1] >= ratio[:, :-2]) & (ratio[:, 1:-1] >= ratio[:, 2:]) & (ratio[:, 1:-1] > 0.88 * best[:, None])
    )
    lags = shortest + 1 + peaks.argmax(1)
    voiced = peaks.any(1) & (best > 0.4)
    return float(np.median(rate / lags[voiced])) if voiced.any() else None


@dataclass(frozen=True)
class _Templates:
    """``onset`` (K, M), ``whole`` (K, 3, M) in the windows after an onset, ``course`` (K, N, M)."""

    onset: Array
    whole: Array
    course: Array


@cache
def _templates(sample_rate_hz: int) -> _Templates:
    lead = round(0.2 * sample_rate_hz)
    sounds = [np.pad(strike_sound(thing, sample_rate_hz), (lead, lead)) for thing in things()]
    spectra = [mel_magnitudes(sound, sample_rate_hz) for sound in sounds]
    start = round(0.2 * HOPS_PER_S)
    onsets = np.stack([_added(spectrum)[start] for spectrum in spectra])
    wholes = np.stack([_course_of(spectrum, start) for spectrum in spectra])
    return _Templates(onsets, wholes, np.stack([spectrum[start - 2 :] for spectrum in spectra]))


def _score(added: Array, onset: Array) -> Array:
    """How much of a strike with spectrum ``onset`` (M,) begins in each frame of ``added`` (N, M): (N,).

    A strike raises all its strong bands at once and little else; speech raises some of them, and others beside. So the
    level is that of the weakest strong bands (their 20th percentile), times the cosine of the two spectra.
    """
    strong = onset > 0.25 * onset.max()
    level = np.percentile(added[:, strong] / onset[strong], 20, axis=1)
    likeness = added @ onset / (np.linalg.norm(onset) * np.linalg.norm(added, axis=1) + 1e-6)
    return level * likeness


def _peaks(score: Array, share: float) -> NDArray[np.int64]:
    """Frames at which ``score`` peaks, of at least ``share`` of its highest value."""
    least = max(_LEAST_SCORE, share * float(score.max(initial=0)))
    padded = np.concatenate([[0.0], score, [0.0]])
    return find_peaks(padded, height=least, distance=round(_SHORTEST_GAP_S * HOPS_PER_S))[0] - 1


def _added(magnitudes: Array) -> Array:
    """What each frame's near future adds to its recent past: (N, M), not negative."""
    size = len(magnitudes)
    padded = np.concatenate([np.zeros((-_BEFORE[0], _BANDS)), magnitudes, np.zeros((_AFTER[1], _BANDS))])
    sums = np.concatenate([np.zeros((1, _BANDS)), padded.cumsum(0)])
    at = np.arange(size) - _BEFORE[0]

    def mean(first: int, last: int) -> Array:
        return (sums[at + last] - sums[at + first]) / (last - first)

    return np.maximum(0, mean(*_AFTER) - mean(*_BEFORE))


def _course_of(magnitudes: Array, at: int) -> Array:
    """(3, M): what follows frame ``at``, less what came before."""
    before = magnitudes[max(0, at + _BEFORE[0]) : max(1, at + _BEFORE[1])].mean(0)
    parts = []
    for first, last in (_AFTER, *_LATER):
        part = magnitudes[at + first : at + last]
        parts.append(np.maximum(0, part.mean(0) - before) if len(part) else np.zeros(_BANDS))
    return np.stack(parts)


def _struck(magnitudes: Array, peaks: NDArray[np.int64], templates: _Templates) -> int:
    """Index of the kind of strike that the onsets at ``peaks`` resemble most, all together."""
    whole = np.mean([_course_of(magnitudes, int(peak)) for peak in peaks], axis=0)
    likeness = (templates.whole * whole).sum((1, 2)) / np.linalg.norm(templates.whole, axis=(1, 2))
    return int(likeness.argmax())


def _without_strikes(magnitudes: Array, strikes: Strikes, sample_rate_hz: int) -> Array:
    """``magnitudes`` (N, M) less those of the strikes found."""
    if strikes.thing is None:
        return magnitudes
    remaining = magnitudes.copy()
    course = _templates(sample_rate_hz).course[things().index(strikes.thing)]
    for time_s, level in zip(strikes.times_s, strikes.levels, strict=True):
        start = round(time_s * HOPS_PER_S) - 2
        part = course[max(0, -start) :][: max(0, len(remaining) - max(0, start))]
        first = max(0, start)
        remaining[first : first + len(part)] -= 1.2 * level * part
    return np.maximum(0, remaining)


@cache
def _mel_filters(sample_rate_hz: int) -> NDArray[np.float32]:
    return mel_filters(sr=sample_rate_hz, n_fft=_window(sample_rate_hz), n_mels=_BANDS, fmin=50.0, norm=None)


def _window(sample_rate_hz: int) -> int:
    """Samples of the analysis window: the power of two next to 32 ms."""
    return 1 << round(np.log2(0.032 * sample_rate_hz))
