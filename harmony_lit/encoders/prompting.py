"""How the texts of a clip become what each branch reads.

Harmony tells its branches different things: the video branch what is seen, the audio branch what is heard besides
speech, and what is said by a transcript encoder of its own. Ovi tells both the same: one prompt that describes the
picture, with what is said between ``<S>`` and ``<E>``, and with the sound described at the end. Each of its towers
embeds that prompt's umT5 states by a ``text_embedding`` of its own.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

SPEECH = "<S>{}<E>"


@dataclass(frozen=True)
class Texts:
    """What is said of a clip; empty where nothing is.

    Attributes:
        video_caption: For the video branch.
        audio_caption: For the audio branch.
        transcript: For the transcript encoder.
    """

    video_caption: str
    audio_caption: str
    transcript: str


class Prompting(ABC):
    """Base: from the texts of a clip to those that the model is given."""

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """All that decides what a clip's captions become; empty if they stay as they are."""

    @property
    def negative(self) -> Texts:
        """What guidance by text leads away from: no text, unless a form says otherwise."""
        return Texts("", "", "")

    @abstractmethod
    def __call__(self, texts: Texts) -> Texts:
        """The texts for the model."""


class SeparateTexts(Prompting):
    """Harmony's: each branch is given its own."""

    @property
    def fingerprint(self) -> str:
        """See the base."""
        return ""

    def __call__(self, texts: Texts) -> Texts:
        """See the base."""
        return texts


class OviPrompt(Prompting):
    """Ovi's: one prompt for both branches, ``<picture> <S><speech><E> <sound>``, and no transcript.

    A picture that has ``<S>`` in it says itself what is said and when, as Ovi's prompts do; the transcript is then not
    added once more. A clip without any text keeps the empty prompt.

    Args:
        sound: How the sound is told, with ``{}`` for its caption. The 960x960 models read ``Audio: {}``; that of
            720x720 reads ``<AUDCAP>{}<ENDAUDCAP>``.
        negative_picture: What guidance leads the video away from.
        negative_sound: And the audio.

    Raises:
        ValueError: If ``sound`` has no ``{}``.
    """

    def __init__(
        self,
        sound: str = "Audio: {}",
        negative_picture: str = "jitter, bad hands, blur, distortion",
        negative_sound: str = "robotic, muffled, echo, distorted",
    ) -> None:
        if "{}" not in sound:
            raise ValueError(f"system.prompting.sound must have {{}} where the caption goes, unlike '{sound}'")
        self.sound, self.negative_picture, self.negative_sound = sound, negative_picture, negative_sound

    @property
    def fingerprint(self) -> str:
        """See the base."""
        return f"ovi {self.sound}"

    @property
    def negative(self) -> Texts:
        """See the base."""
        return Texts(self.negative_picture, self.negative_sound, "")

    def __call__(self, texts: Texts) -> Texts:
        """See the base."""
        parts = [texts.video_caption]
        if texts.transcript and "<S>" not in texts.video_caption:
            parts.append(SPEECH.format(texts.transcript))
        if texts.audio_caption:
            parts.append(self.sound.replace("{}", texts.audio_caption))
        prompt = " ".join(part for part in parts if part)
        return Texts(prompt, prompt, "")
