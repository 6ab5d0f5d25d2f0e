import pytest
import torch

from harmony_lit.geometry import Geometry


def test_the_published_clip_has_28_latent_frames_and_136_audio_latents():
    geometry = Geometry()
    assert geometry.latent_frames(109) == 28
    assert geometry.audio_latents(109) == 136
    assert geometry.token_grid(*geometry.latent_size(704, 704)) == (22, 22)


def test_ovi_and_nava_scales_come_from_their_rates():
    ovi = Geometry(fps=24.0)
    assert (ovi.latent_frames(121), ovi.audio_latents(121)) == (31, 157)
    assert ovi.rope_scale(31) == pytest.approx(0.19676, abs=1e-5)
    nava = Geometry(fps=24.0, audio_hop=640)
    assert nava.audio_rate_hz == 25
    assert nava.rope_scale() == pytest.approx(0.24)


def test_the_scale_tends_to_the_ratio_of_rates_for_long_clips():
    geometry = Geometry()
    assert geometry.rope_scale(100_000) == pytest.approx(geometry.rope_scale(), rel=1e-4)


@pytest.mark.parametrize("frames", [1, 5, 61, 109])
def test_frames_survive_the_round_trip_through_latent_frames(frames):
    geometry = Geometry()
    assert geometry.pixel_frames(geometry.latent_frames(frames)) == frames


def test_frames_that_are_not_1_plus_4k_are_refused_with_the_nearest_below():
    with pytest.raises(ValueError, match="1 \\+ 4k frames; 60 is not, the nearest below is 57"):
        Geometry().latent_frames(60)
    assert Geometry().floor_frames(60) == 57


def test_sides_that_do_not_fit_stride_and_patch_are_refused():
    with pytest.raises(ValueError, match="width must be a multiple of 32"):
        Geometry().latent_size(64, 48)


def test_edges_honour_the_lone_first_frame():
    edges = Geometry().video_edges_s(3)
    assert torch.allclose(edges, torch.tensor([0.0, 1 / 25, 5 / 25, 9 / 25], dtype=torch.float64))
    assert torch.allclose(Geometry().video_midpoints_s(2), torch.tensor([0.5 / 25, 3 / 25], dtype=torch.float64))
