"""Detectors on real clips: `docs/metrics.md` has the whole table."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from data.media import read_clip
from harmony_lit.containers import Clip
from metrics.faces.detector import FaceDetector, iou
from metrics.faces.haar import Haar
from metrics.faces.tracked import TrackedFaces
from metrics.faces.tracks import Track
from metrics.faces.yunet import YuNet

ASSETS = Path(__file__).parents[4] / "shared" / "assets"
WEIGHTS = ASSETS / "weights" / "yunet_s_640_640.onnx"
pytestmark = pytest.mark.skipif(not WEIGHTS.is_file(), reason="the real clips of ../shared/assets are not here")

HAAR, YUNET = Haar(), YuNet(str(WEIGHTS))
TRACKS = {  # clip: kept by Haar and by YuNet, with the settings of the original
    "versebench_00000": (0, 0),  # a face of 79 px, below the minimum of 100
    "versebench_00023": (0, 1),  # a drawn head that leans
    "versebench_01086": (1, 1),
    "versebench_419": (0, 0),  # a ship
    "two_people_talking": (0, 2),  # both in profile
    "hitting_bag": (0, 0),
    "hitting_metal": (0, 0),
    "nasa_13013": (0, 0),
    "bento": (0, 0),
}


@cache
def clip(name: str) -> Clip:
    return read_clip(ASSETS / "clips" / f"{name}.mp4")


def kept(detector: FaceDetector, name: str, stride: int = 12, **settings) -> list[Track]:
    """Tracks found on some of the frames, to save time."""
    return TrackedFaces(detector, stride=stride, **settings).tracks(clip(name))


def test_two_people_who_talk_are_two_tracks_of_all_the_clip():
    assert [(t.first_frame, len(t)) for t in kept(YUNET, "two_people_talking")] == [(0, 121), (0, 121)]


@pytest.mark.parametrize("detector", [HAAR, YUNET], ids=["haar", "yunet"])
def test_a_ship_has_no_face(detector):
    assert kept(detector, "versebench_419") == []


def test_a_small_face_follows_the_stated_minimum():
    assert kept(YUNET, "versebench_00000", stride=2) == []
    (track,) = kept(YUNET, "versebench_00000", min_size_px=60, stride=2)
    assert 70 < track.size_px < 90


def test_haar_and_yunet_follow_the_same_frontal_face_and_crop_it_alike():
    (haar,), (yunet,) = kept(HAAR, "versebench_01086"), kept(YUNET, "versebench_01086")
    assert np.diag(iou(haar.boxes, yunet.boxes)).min() > 0.5
    assert haar.size_px == pytest.approx(yunet.size_px, rel=0.15)


@pytest.mark.slow
@pytest.mark.parametrize("name", TRACKS)
@pytest.mark.parametrize("detector", [HAAR, YUNET], ids=["haar", "yunet"])
def test_the_table_of_the_documentation_on_every_frame(detector, name):
    found = TrackedFaces.original(detector).tracks(clip(name))
    assert len(found) == TRACKS[name][detector is YUNET]
