import pytest
import torch

from harmony_lit.containers import Clip
from metrics.joint_embedding.imagebind import load_tokenizer
from metrics.joint_embedding.imagebind_inputs import (
    audio_pieces,
    short_side_scaled,
    starts_s,
    text_tokens,
    three_crops,
    video_pieces,
)


def numbered(frames, height=224, width=224):
    """Frame i has level i everywhere."""
    return torch.arange(frames, dtype=torch.uint8)[:, None, None, None].expand(-1, 3, height, width)


@pytest.mark.parametrize(
    ("duration", "pieces", "starts"),
    [(5.0, 3, [0, 1.5, 3]), (6.0, 5, [0, 1, 2, 3, 4]), (2.0, 3, [0, 0, 0]), (0.5, 5, [0] * 5)],
)
def test_pieces_are_spread_evenly_over_the_clip(duration, pieces, starts):
    assert starts_s(duration, pieces) == pytest.approx(starts)


def test_each_piece_shows_its_first_and_last_frame_at_three_crops():
    clip = Clip(numbered(150), torch.zeros(96_000), 25.0, 16_000)
    shown = video_pieces(clip)
    assert shown.shape == (15, 3, 2, 224, 224)
    mean, std = torch.tensor([0.48145466, 0.4578275, 0.40821073]), torch.tensor([0.26862954, 0.26130258, 0.27577711])
    levels = (shown[..., 0, 0] * std[:, None] + mean[:, None]) * 255
    expected = [[25.0 * piece, 25.0 * piece + 49] for piece in range(5) for _ in range(3)]
    torch.testing.assert_close(levels, torch.tensor(expected)[:, None].expand(-1, 3, -1), atol=1e-3, rtol=0)


@pytest.mark.parametrize("frames", [1, 10])
def test_a_clip_shorter_than_a_piece_is_shown_as_it_is(frames):
    shown = video_pieces(Clip(numbered(frames), torch.zeros(640 * frames), 25.0, 16_000))
    assert shown.shape == (15, 3, 2, 224, 224)
    assert float((shown[0, 0, 1] - shown[0, 0, 0]).mean() * 0.26862954 * 255) == pytest.approx(frames - 1, abs=1e-3)


def test_crops_lie_along_the_longer_side():
    columns = torch.arange(301.0).expand(1, 3, 224, 301)
    assert [float(crop[0, 0, 0, 0]) for crop in three_crops(columns)] == [0, 39, 77]
    assert [float(crop[0, 0, 0, 0]) for crop in three_crops(columns.transpose(2, 3))] == [0, 39, 77]
    assert {tuple(crop.shape) for crop in three_crops(columns)} == {(1, 3, 224, 224)}


@pytest.mark.parametrize(
    ("size", "scaled"), [((480, 768), (224, 358)), ((768, 480), (358, 224)), ((100, 100), (224, 224))]
)
def test_the_short_side_becomes_224_and_the_long_one_is_rounded_down(size, scaled):
    assert short_side_scaled(torch.zeros(1, 3, *size)).shape == (1, 3, *scaled)


def test_sound_is_three_padded_spectrograms_without_their_mean():
    generator = torch.Generator().manual_seed(0)
    sound = 0.1 * torch.randn(80_000, generator=generator)
    mels = audio_pieces(Clip(numbered(125), sound, 25.0, 16_000))
    assert mels.shape == (3, 1, 128, 204)
    assert mels[..., 198:].flatten().tolist() == pytest.approx([4.268 / 9.138] * (3 * 128 * 6))
    shifted = audio_pieces(Clip(numbered(125), sound + 0.5, 25.0, 16_000))
    torch.testing.assert_close(mels, shifted, atol=1e-3, rtol=0)


def test_text_begins_and_ends_as_clips_does(clip_tokenizer):
    tokens = text_tokens("A dog", load_tokenizer(clip_tokenizer))
    assert tokens.shape == (1, 77)
    ids = {letter: index for index, letter in enumerate("abcdefghijklmnopqrstuvwxyz")}
    assert tokens[0, :6].tolist() == [52, 26 + ids["a"], ids["d"], ids["o"], 26 + ids["g"], 53]
    long = text_tokens("a " * 100, load_tokenizer(clip_tokenizer))
    assert long.shape == (1, 77) and long[0, -1] == 53 and int((long == 53).sum()) == 1
