"""The syllables of Mandarin in pinyin, from the table of initials and finals.

Spelling is that of pypinyin's ``TONE3``: the tone is a digit behind the syllable, ü is written v after n and l, and the
neutral tone is 5.
"""

from __future__ import annotations

TONES = "12345"

# Which finals an initial takes, rare readings included. The last line holds syllables without an initial; y and w are
# spelling, not sound.
_TABLE = {
    "b": "a o ai ei ao an en ang eng ong i ie iao ian in iang ing u",
    "p": "a o ai ei ao ou an en ang eng i ie iao ian in ing u",
    "m": "a o e ai ei ao ou an en ang eng i ie iao iu ian in ing u",
    "f": "a o ei iao ou an en ang eng u",
    "d": "a e ai ei ao ou an en ang eng ong i ia ie iao iu ian in iang ing u uo ui uan un",
    "t": "a e ai ei ao ou an en ang eng ong i ie iao ian ing u uo ui uan un",
    "n": "a e ai ei ao ou an en ang eng ong i ia ie iao iu ian in iang ing u uo uan un v ve",
    "l": "a o e ai ei ao ou an en ang eng ong i ia ie iao iu ian in iang ing u uo uan un v ve",
    "g": "a e ai ei ao ou an en ang eng ong u ua uo uai ui uan un uang",
    "k": "a e ai ei ao ou an en ang eng ong u ua uo uai ui uan un uang",
    "h": "a e ai ei ao ou an en ang eng ong u ua uo uai ui uan un uang",
    "j": "i ia ie iao iu ian in iang ing iong u ue uan un",
    "q": "i ia ie iao iu ian in iang ing iong u ue uan un",
    "x": "i ia ie iao iu ian in iang ing iong u ue uan un",
    "zh": "a e i ai ei ao ou an en ang eng ong u ua uo uai ui uan un uang",
    "ch": "a e i ai ao ou an en ang eng ong u ua uo uai ui uan un uang",
    "sh": "a e i ai ei ao ou an en ang eng u ua uo uai ui uan un uang",
    "r": "a e i ao ou an en ang eng ong u ua uo ui uan un",
    "z": "a e i ai ei ao ou an en ang eng ong u uo ui uan un",
    "c": "a e i ai ei ao ou an en ang eng ong u uo ui uan un",
    "s": "a e i ai ei ao ou an en ang eng ong u uo ui uan un",
    "y": "a o e ai ao i in ing ou ong u ue uan un an ang",
    "w": "u a o ai ei an en ang eng ong",
    "": "a o e ê ai ei ao ou an en ang eng er m n ng hm hng",
}


def syllables() -> tuple[str, ...]:
    """Every syllable in every tone (``a1`` ... ``zuo5``), sorted; some of them no word has."""
    toneless = {initial + final for initial, finals in _TABLE.items() for final in finals.split()}
    return tuple(sorted(syllable + tone for syllable in toneless for tone in TONES))
