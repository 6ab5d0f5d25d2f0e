"""Files to clips and back: alignment of picture and sound, rates, and one clear sentence per mistake."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from data.media import encode_flac, encode_mp4, inspect_clip, read_audio, read_clip, write_mp4, write_wav
from harmony_lit.containers import Clip

ASSETS = Path(__file__).parents[3] / "shared" / "assets"
real_clips = pytest.mark.skipif(not ASSETS.is_dir(), reason="the real clips of ../shared/assets are not here")


def flash_and_click(frames: int = 61, at_frame: int = 30, fps: float = 25.0, rate: int = 16_000) -> Clip:
    """White frames from ``at_frame`` on for a tenth of a second, and a click as they begin."""
    video = torch.zeros(frames, 3, 64, 64, dtype=torch.uint8)
    video[at_frame : at_frame + round(fps / 10)] = 255
    audio = torch.zeros(round(frames * rate / fps))
    start = round(at_frame / fps * rate)
    audio[start : start + 8] = 0.9
    return Clip(video, audio, fps, rate)


def test_an_aac_round_trip_keeps_a_click_within_5_ms_and_a_flash_in_its_frame() -> None:
    clip = flash_and_click()
    again = read_clip(encode_mp4(clip))
    assert again.video.shape == clip.video.shape
    assert again.audio.shape == clip.audio.shape
    assert int((again.video.float().mean((1, 2, 3)) > 127).int().argmax()) == 30
    assert abs(int(again.audio.abs().argmax()) - 30 / 25 * 16_000) / 16_000 < 0.005


@pytest.mark.parametrize(("fps", "rate"), [(15.0, 44_100), (24.0, 24_000), (30.0, 48_000), (29.97, 8_000)])
def test_other_rates_are_resampled_by_time(fps: float, rate: int) -> None:
    clip = flash_and_click(frames=round(3 * fps), at_frame=round(1.5 * fps), fps=fps, rate=rate)
    again = read_clip(encode_mp4(clip))
    moment_s = round(1.5 * fps) / fps
    assert again.video.shape[0] == pytest.approx(clip.duration_s * 25, abs=1)
    assert again.audio.numel() == round(again.video.shape[0] * 640)
    bright_s = int((again.video.float().mean((1, 2, 3)) > 127).int().argmax()) / 25
    assert abs(bright_s - moment_s) <= 0.5 / 25 + 0.5 / fps
    assert abs(int(again.audio.abs().argmax()) / 16_000 - moment_s) < 0.005


def test_each_frame_is_the_stored_one_nearest_in_time() -> None:
    levels = torch.arange(30, dtype=torch.uint8) * 8
    video = levels[:, None, None, None].expand(30, 3, 32, 32).contiguous()
    again = read_clip(encode_mp4(Clip(video, torch.zeros(32_000), 15.0, 16_000), crf=0), fps=25.0)
    shown = torch.round(again.video.float().mean((1, 2, 3)) / 8)
    for index, level in enumerate(shown.tolist()):
        assert abs(level / 15 - index / 25) <= 0.5 / 15 + 1e-6


def test_colours_survive() -> None:
    video = torch.zeros(5, 3, 32, 64, dtype=torch.uint8)
    colours = torch.tensor([[220, 30, 30], [30, 200, 40], [20, 40, 210], [200, 120, 30]], dtype=torch.uint8)
    for index, colour in enumerate(colours):
        video[:, :, :, 16 * index : 16 * index + 16] = colour[None, :, None, None]
    again = read_clip(encode_mp4(Clip(video, torch.zeros(3_200), 25.0, 16_000)))
    seen = again.video[2, :, 16, 8::16].T
    assert (seen.int() - colours.int()).abs().max() <= 6


ENCODE_ELSEWHERE = """
import hashlib, torch
from data.media import encode_flac, encode_mp4, read_clip
from harmony_lit.containers import Clip
rows, columns = torch.meshgrid(torch.arange(64), torch.arange(64), indexing="ij")
frames = []
for index in range(25):
    frame = torch.stack([rows * 2 + 40, columns + 60, 200 - rows])
    frame[:, (columns - 10 - index) ** 2 + (rows - 32) ** 2 < 80] = 220
    frames.append(frame.to(torch.uint8))
clip = Clip(torch.stack(frames), 0.5 * torch.sin(torch.arange(16_000) ** 1.3 / 100), 25.0, 16_000)
mp4 = encode_mp4(clip)
parts = (mp4, encode_flac(clip.audio, 16_000), read_clip(mp4).video.numpy())
print(*(hashlib.sha256(part).hexdigest() for part in parts))
"""


def test_the_same_clip_gives_the_same_bytes_whatever_the_memory_held_before() -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", ENCODE_ELSEWHERE],
            stdout=subprocess.PIPE,
            env={**environment, "MALLOC_PERTURB_": fill},
        )
        for fill in ("0", "170")
    ]
    digests = [run.communicate()[0] for run in runs]
    assert len(digests[0].split()) == 3
    assert digests[0] == digests[1]


def test_flac_and_wav_keep_16_bits(tmp_path: Path) -> None:
    audio = torch.sin(torch.arange(8_000) * 0.1) * 0.8
    write_wav(tmp_path / "a.wav", audio, 16_000)
    for source in (encode_flac(audio, 16_000), tmp_path / "a.wav"):
        again = read_audio(source)
        assert again.shape == audio.shape
        assert (again - audio).abs().max() < 1 / 32_768


def test_size_fills_and_crops_the_centre() -> None:
    video = torch.zeros(3, 3, 64, 128, dtype=torch.uint8)
    video[:, 0, :, 32:96] = 200
    again = read_clip(encode_mp4(Clip(video, torch.zeros(1_920), 25.0, 16_000)), size=(32, 32))
    assert again.video.shape == (3, 3, 32, 32)
    assert again.video[1, 0].float().mean() > 180


def test_mistakes_have_one_clear_sentence(tmp_path: Path) -> None:
    clip = flash_and_click()
    whole = encode_mp4(clip)
    (tmp_path / "note.mp4").write_text("hello, this is not a film")
    write_wav(tmp_path / "sound.wav", clip.audio, 16_000)
    write_mp4(tmp_path / "mute.mp4", Clip(clip.video, torch.zeros(0), 25.0, 16_000))
    with pytest.raises(ValueError, match=r"absent\.mp4 is not there"):
        read_clip(tmp_path / "absent.mp4")
    with pytest.raises(ValueError, match="not a media file"):
        read_clip(tmp_path / "note.mp4")
    with pytest.raises(ValueError, match="no picture track"):
        read_clip(tmp_path / "sound.wav")
    with pytest.raises(ValueError, match=r"mute\.mp4 has no sound track; give an mp4 with sound, or drop the driver"):
        read_clip(tmp_path / "mute.mp4")
    with pytest.raises(ValueError, match="has no sound track"):
        read_audio(tmp_path / "mute.mp4")
    assert read_clip(tmp_path / "mute.mp4", require_audio=False).audio.abs().max() == 0
    for kept in (0.05, 0.5, 0.9):
        with pytest.raises(ValueError, match=r"truncated|not a media file"):
            read_clip(whole[: int(len(whole) * kept)])


def test_a_truncated_flac_is_noticed() -> None:
    noise = torch.from_numpy(np.random.default_rng(0).uniform(-0.5, 0.5, 32_000).astype(np.float32))
    whole = encode_flac(noise, 16_000)
    with pytest.raises(ValueError, match="truncated"):
        read_audio(whole[: len(whole) // 2])


@real_clips
def test_a_15_fps_clip_with_44_khz_stereo_is_brought_to_the_geometry() -> None:
    clip, info = inspect_clip(ASSETS / "clips" / "hitting_bag.mp4", size=(64, 64))
    assert (info.frames, info.sample_rate_hz) == (90, 44_100)
    assert info.fps == pytest.approx(15.0)
    assert clip.video.shape == (150, 3, 64, 64)
    assert clip.audio.numel() == pytest.approx(6.0 * 16_000, abs=640)
    assert 0.01 < clip.audio.abs().max() <= 1.0


@real_clips
@pytest.mark.parametrize("name", ["nasa_13013", "bento", "versebench_419", "two_people_talking"])
def test_real_clips_read_whole(name: str) -> None:
    clip = read_clip(ASSETS / "clips" / f"{name}.mp4", size=(48, 64))
    assert clip.video.shape[1:] == (3, 48, 64)
    assert clip.audio.numel() == round(clip.video.shape[0] * 640)


@real_clips
def test_a_wav_reads_as_it_is() -> None:
    assert read_audio(ASSETS / "speech" / "jfk.wav").numel() == 176_000


def test_no_rate_asked_for_is_the_rate_that_is_stored() -> None:
    clip = flash_and_click(frames=45, at_frame=20, fps=15.0, rate=44_100)
    again = read_clip(encode_mp4(clip), fps=None, sample_rate_hz=None)
    assert (again.fps, again.sample_rate_hz) == (15.0, 44_100)
    assert again.video.shape[0] == 45
    assert again.audio.numel() == 45 * 2940
    assert int((again.video.float().mean((1, 2, 3)) > 127).int().argmax()) == 20
