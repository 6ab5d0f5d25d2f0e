from __future__ import annotations

import pytest
import torch

from harmony_lit.containers import TextEmbeds
from harmony_lit.encoders.prompting import OviPrompt, SeparateTexts, Texts
from harmony_lit.geometry import Geometry
from harmony_lit.sampling import Prompt, build_request
from harmony_lit.system import System


@pytest.mark.parametrize(
    ("texts", "sound", "expected"),
    [
        (("A man speaks.", "Room tone.", "Hello."), "Audio: {}", "A man speaks. <S>Hello.<E> Audio: Room tone."),
        (("Rain.", "Rain {} falls.", ""), "<AUDCAP>{}<ENDAUDCAP>", "Rain. <AUDCAP>Rain {} falls.<ENDAUDCAP>"),
        (("She says, <S>No.<E> and goes.", "", "No."), "Audio: {}", "She says, <S>No.<E> and goes."),
        (("", "A bell.", ""), "Audio: {}", "Audio: A bell."),
        (("", "", ""), "Audio: {}", ""),
    ],
)
def test_ovi_tells_both_branches_one_prompt_with_speech_and_sound_in_tags(texts, sound, expected):
    assert OviPrompt(sound)(Texts(*texts)) == Texts(expected, expected, "")


def test_a_form_of_the_sound_without_place_for_it_is_refused():
    with pytest.raises(ValueError, match=r"system.prompting.sound must have \{\} .* unlike 'Audio:'"):
        OviPrompt("Audio:")


class _Codec:
    channels, hop, sample_rate_hz, stride, fingerprint = 4, 512, 16_000, (4, 16, 16), "codec"

    def encode(self, samples):
        return torch.zeros(1, 4, samples.shape[1] // self.hop)

    def decode(self, latents):
        raise NotImplementedError


class _Text:
    dim, max_tokens, fingerprint = 2, 4, "text"

    def __init__(self):
        self.seen = []

    def encode(self, captions):
        self.seen.append(list(captions))
        return TextEmbeds(torch.zeros(len(captions), 1, 2), torch.ones(len(captions), 1, dtype=torch.bool))


ONE = "A man. <S>Hi<E> Audio: Steps."


@pytest.mark.parametrize(
    ("prompting", "video", "audio", "speaks", "negative"),
    [
        (None, "A man.", "Steps.", True, [[""], [""]]),
        (SeparateTexts(), "A man.", "Steps.", True, [[""], [""]]),
        (OviPrompt(negative_sound="echo"), *[ONE] * 2, False, [["jitter, bad hands, blur, distortion"], ["echo"]]),
    ],
)
def test_sampling_asks_the_system_what_each_branch_reads(prompting, video, audio, speaks, negative):
    encoder = _Text()
    system = System(Geometry(), _Codec(), _Codec(), encoder, prompting=prompting)
    prompt = Prompt("A man.", "Steps.", "Hi", frames=5, height=32, width=32)
    request = build_request(system, [prompt])
    assert encoder.seen[:2] == [[video], [audio]]
    assert bool(request.conditions.transcript.mask.any()) == speaks
    assert encoder.seen[2:] == negative


def test_captions_joined_in_another_way_have_another_fingerprint():
    def text_fingerprint(prompting):
        return System(Geometry(), _Codec(), _Codec(), _Text(), prompting=prompting).fingerprints()["text_encoder"]

    prints = [text_fingerprint(p) for p in (SeparateTexts(), OviPrompt(), OviPrompt("<AUDCAP>{}<ENDAUDCAP>"))]
    assert prints[0] == "text" == text_fingerprint(None)
    assert len(set(prints)) == 3
