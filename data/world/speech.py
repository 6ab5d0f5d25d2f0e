"""Speech of the world: digits spoken by espeak-ng, with the times of their phonemes.

espeak-ng carries state from one utterance to the next, so the same words said later differ. Determinism asks for a
fixed order: each process speaks every digit once with every voice, in the order of ``cast``, and phrases are joined
from those words.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter, resample_poly

from data.world.cast import DIGITS, SPEAKERS, Speaker
from harmony_lit.errors import UserError

WORD_GAP_S = 0.12
_WORDS_PER_MINUTE = 150
_SYNCHRONOUS, _PHONEME_EVENTS, _CHARS_UTF8 = 2, 1, 1
_RATE, _PITCH, _RANGE = 1, 3, 4
_EVENT_END, _EVENT_PHONEME = 0, 7


@dataclass(frozen=True)
class Phoneme:
    """One speech sound: ``start_s`` to ``end_s`` in seconds and espeak-ng's mnemonic without its stress mark."""

    start_s: float
    end_s: float
    name: str


@dataclass(frozen=True)
class Utterance:
    """``audio`` (S,) float32 of root mean square about 1/6, and the phonemes in it."""

    audio: NDArray[np.float32]
    phonemes: tuple[Phoneme, ...]


class _EventId(ctypes.Union):
    _fields_ = [("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8)]


class _Event(ctypes.Structure):
    _fields_ = [
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position_ms", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _EventId),
    ]


class _Espeak:
    """A freshly opened espeak-ng that says single words."""

    def __init__(self) -> None:
        try:
            import espeakng_loader
        except ImportError as error:
            raise UserError(
                "the world's speech needs espeak-ng (GPL-3.0): install it with `pip install 'harmony-lit[world]'`"
            ) from error
        self._library = ctypes.CDLL(espeakng_loader.get_library_path())
        data_path = espeakng_loader.get_data_path().encode()
        self.sample_rate_hz = self._library.espeak_Initialize(_SYNCHRONOUS, 0, data_path, _PHONEME_EVENTS)
        if self.sample_rate_hz <= 0:
            raise RuntimeError(
                "espeak-ng did not start: its data folder is missing or damaged, reinstall espeakng-loader"
            )
        self._chunks: list[NDArray[np.int16]] = []
        self._events: list[tuple[int, str]] = []
        callback_type = ctypes.CFUNCTYPE(
            ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
        )
        self._callback = callback_type(self._collect)  # kept alive: the library holds only the address
        self._library.espeak_SetSynthCallback(self._callback)
        self._library.espeak_ng_SetRandSeed(ctypes.c_long(1))  # else it is seeded by the clock

    def _collect(self, samples: Any, count: int, events: Any) -> int:
        if count > 0 and samples:
            self._chunks.append(np.ctypeslib.as_array(samples, (count,)).copy())
        i = 0
        while events[i].type != _EVENT_END:
            if events[i].type == _EVENT_PHONEME:
                self._events.append((events[i].sample, events[i].id.string.decode("utf-8", "replace")))
            i += 1
        return 0

    def say(self, text: str, speaker: Speaker) -> tuple[NDArray[np.float64], list[tuple[int, str]]]:
        """Samples in [-1, 1] at ``sample_rate_hz`` and (first sample, mnemonic) of each phoneme."""
        self._chunks.clear()
        self._events.clear()
        if self._library.espeak_SetVoiceByName(speaker.espeak_voice.encode()) != 0:
            raise RuntimeError(f"espeak-ng has no voice {speaker.espeak_voice}: reinstall espeakng-loader")
        for parameter, value in ((_RATE, _WORDS_PER_MINUTE), (_PITCH, speaker.pitch), (_RANGE, speaker.pitch_range)):
            self._library.espeak_SetParameter(parameter, value, 0)
        encoded = text.encode() + b"\0"
        self._library.espeak_Synth(encoded, ctypes.c_size_t(len(encoded)), 0, 1, 0, _CHARS_UTF8, None, None)
        return np.concatenate(self._chunks) / 32768.0, list(self._events)


@lru_cache(maxsize=1)
def _spoken_words() -> dict[tuple[str, str], tuple[NDArray[np.float64], list[tuple[int, str]], int]]:
    """(speaker, digit) to samples, events and rate; once per process, for the order must never change."""
    espeak = _Espeak()
    return {
        (name, word): (*espeak.say(word, speaker), espeak.sample_rate_hz)
        for name, speaker in SPEAKERS.items()
        for word in DIGITS
    }


@cache
def speak_word(speaker: str, word: str, sample_rate_hz: int) -> Utterance:
    """One digit by one speaker, without the silence around it.

    Raises:
        UserError: If espeakng-loader is not installed.
    """
    samples, events, native_rate_hz = _spoken_words()[speaker, word]
    ends = [*(start for start, _ in events[1:]), len(samples)]
    phonemes = tuple(
        Phoneme(start / native_rate_hz, end / native_rate_hz, name.strip("',"))
        for (start, name), end in zip(events, ends, strict=True)
        if not name.startswith("_")
    )
    samples = samples[: round(phonemes[-1].end_s * native_rate_hz)]
    metallic = SPEAKERS[speaker].metallic
    if metallic:
        delay = round(0.005 * native_rate_hz)
        samples = lfilter([1.0], [1.0, *([0.0] * (delay - 1)), -metallic], samples)
    audio = resample_poly(samples, sample_rate_hz, native_rate_hz)
    fade_samples = round(0.01 * sample_rate_hz)
    audio[-fade_samples:] *= np.linspace(1, 0, fade_samples)
    # Equal loudness rather than equal peak, so that no speaker drowns beside the others.
    return Utterance((audio / (6 * audio.std())).astype(np.float32), phonemes)


def speak(speaker: str, words: Sequence[str], sample_rate_hz: int) -> Utterance:
    """Joins ``words`` (digits in letters) in the voice of ``speaker``, with a short pause between them."""
    pause = np.zeros(round(WORD_GAP_S * sample_rate_hz), np.float32)
    pieces: list[NDArray[np.float32]] = []
    phonemes: list[Phoneme] = []
    at = 0
    for word in words:
        utterance = speak_word(speaker, word, sample_rate_hz)
        if pieces:
            pieces.append(pause)
            at += len(pause)
        offset_s = at / sample_rate_hz
        phonemes += [Phoneme(p.start_s + offset_s, p.end_s + offset_s, p.name) for p in utterance.phonemes]
        pieces.append(utterance.audio)
        at += len(utterance.audio)
    return Utterance(np.concatenate(pieces), tuple(phonemes))
