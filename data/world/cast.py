"""Who and what lives in the world: each attribute decides both a look and a sound.

Colours are (R, G, B) in 0..255. Yellow is kept for the star of an impact and crimson for the inside of a mouth.
"""

from __future__ import annotations

from dataclasses import dataclass

Colour = tuple[int, int, int]

STAR: Colour = (255, 214, 0)
STAR_CORE: Colour = (255, 255, 215)
MOUTH: Colour = (128, 0, 40)
INK: Colour = (38, 28, 44)
BALL: Colour = (124, 58, 210)


@dataclass(frozen=True)
class Material:
    """A stuff to strike.

    Attributes:
        body: Its colour.
        shade: Colour of its outline.
        shine: Colour of its highlight.
        pitch_hz: Fundamental of a large object; a small one sounds an octave higher.
        ratios: Frequencies of its partials over the fundamental.
        levels: Amplitudes of the partials.
        decay_s: Seconds in which the fundamental falls by 60 dB.
        noise: Level of the noise at the attack.
        verb: How it sounds, in a caption.
    """

    body: Colour
    shade: Colour
    shine: Colour
    pitch_hz: float
    ratios: tuple[float, ...]
    levels: tuple[float, ...]
    decay_s: float
    noise: float
    verb: str


MATERIALS: dict[str, Material] = {
    "wood": Material(
        (190, 130, 70), (112, 66, 30), (220, 168, 110), 330.0, (1.0, 2.7, 4.6), (1.0, 0.5, 0.25), 0.16, 0.5, "knocks"
    ),
    "metal": Material(
        (142, 156, 184),
        (66, 78, 108),
        (228, 234, 246),
        440.0,
        (1.0, 2.76, 5.40, 8.93),
        (0.8, 0.9, 0.7, 0.4),
        0.5,
        0.25,
        "rings",
    ),
    "glass": Material(
        (96, 214, 226), (24, 130, 160), (226, 252, 255), 1400.0, (1.0, 1.98), (1.0, 0.35), 0.4, 0.2, "pings"
    ),
    "rubber": Material(
        (236, 72, 84), (150, 24, 50), (255, 158, 158), 105.0, (1.0, 1.6), (1.0, 0.4), 0.3, 0.7, "thumps"
    ),
}
SIZES = ("small", "large")
SHAPES = ("block", "bowl", "bell")


@dataclass(frozen=True)
class Speaker:
    """Somebody who talks.

    Attributes:
        look: What is seen, in a caption.
        voice: What is heard, in a caption.
        espeak_voice: Voice of espeak-ng.
        pitch: espeak-ng's pitch, 0..99.
        pitch_range: espeak-ng's pitch range, 0..99; 0 is monotone.
        metallic: Level of the comb filter that makes a robot.
        pitch_hz: Median fundamental of the voice as it comes out.
        skin: Colour of the face.
        hair: Colour of the hair, or of what stands in for it.
        hair_name: That colour in a word.
        shirt: Colour of the body.
    """

    look: str
    voice: str
    espeak_voice: str
    pitch: int
    pitch_range: int
    metallic: float
    pitch_hz: float
    skin: Colour
    hair: Colour
    hair_name: str
    shirt: Colour


SPEAKERS: dict[str, Speaker] = {
    "man": Speaker(
        "a man with a blue cap", "a low man voice", "en-us+m3", 42, 25, 0.0, 86.0,
        (244, 194, 152), (40, 92, 214), "blue", (60, 140, 84),
    ),
    "woman": Speaker(
        "a woman with black hair", "a warm woman voice", "en-us+f2", 68, 25, 0.0, 210.0,
        (164, 104, 70), (48, 36, 56), "black", (196, 120, 220),
    ),
    "girl": Speaker(
        "a girl with red hair", "a high child voice", "en-us+f5", 99, 25, 0.0, 333.0,
        (255, 222, 198), (232, 84, 34), "red", (70, 150, 230),
    ),
    "robot": Speaker(
        "a robot with a grey head", "a buzzing robot voice", "en-us+m2", 74, 0, 0.75, 123.0,
        (172, 184, 196), (96, 108, 124), "grey", (96, 108, 124),
    ),
}  # fmt: skip

BACKGROUNDS: dict[str, tuple[Colour, Colour]] = {
    "peach": ((255, 226, 206), (255, 196, 178)),
    "mint": ((214, 246, 226), (166, 226, 196)),
    "lilac": ((234, 224, 252), (202, 186, 240)),
    "sky": ((214, 238, 255), (160, 208, 248)),
}

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


@dataclass(frozen=True)
class Thing:
    """An object that a ball can bounce on."""

    material: str
    shape: str
    size: str

    @property
    def name(self) -> str:
        """Such as ``small glass bowl``."""
        return f"{self.size} {self.material} {self.shape}"
