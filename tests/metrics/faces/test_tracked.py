import pickle
from dataclasses import dataclass
from typing import ClassVar

import cv2
import numpy as np
import pytest
import torch

from harmony_lit.containers import Clip
from harmony_lit.errors import UserError
from harmony_lit.experiment.nodes import build
from metrics.faces.detector import FaceDetector, Faces
from metrics.faces.haar import Haar
from metrics.faces.tracked import TrackedFaces


@dataclass(frozen=True)
class Bright(FaceDetector):
    """Takes everything bright for a face; ``looked`` counts the frames that it was shown."""

    looked: ClassVar[list[int]] = [0]

    def describe(self) -> str:
        return "bright squares"

    def detect(self, video: torch.Tensor) -> list[Faces]:
        self.looked[0] += len(video)
        found = []
        for frame in video[:, 0].numpy():
            _, _, stats, _ = cv2.connectedComponentsWithStats((frame > 180).astype(np.uint8))
            boxes = [(x, y, x + w, y + h) for x, y, w, h, _ in stats[1:].tolist()]
            found.append(Faces(np.array(boxes, float).reshape(-1, 4), np.ones(len(boxes))))
        return found


def scene(frames: int, *squares: tuple[int, int, int, int], dark: int = 20) -> np.ndarray:
    """(F, 3, 160, 240): each square is given by column, row, side and columns a frame."""
    video = np.full((frames, 3, 160, 240), dark, np.uint8)
    for frame in range(frames):
        for x, y, side, speed in squares:
            left = x + speed * frame
            video[frame, :, y : y + side, left : left + side] = 220
    return video


def clip_of(*scenes: np.ndarray, fps: float = 25.0) -> Clip:
    video = torch.from_numpy(np.concatenate(scenes))
    return Clip(video, torch.zeros(round(len(video) / fps * 16_000)), fps, 16_000)


def source(**settings) -> TrackedFaces:
    return TrackedFaces(Bright(), **{"min_track": 20, "min_size_px": 30.0, **settings})


def test_each_face_gives_one_crop_as_long_as_it_is_followed():
    clip = clip_of(scene(40, (20, 30, 50, 1), (150, 40, 60, 0)))
    crops = source().crops(clip, 64)
    assert [(c.first_frame, tuple(c.frames.shape)) for c in crops] == [(0, (40, 3, 64, 64))] * 2


def test_a_face_in_the_same_place_on_both_sides_of_a_cut_is_two_tracks():
    clip = clip_of(scene(30, (20, 30, 50, 0)), scene(35, (20, 30, 50, 0), dark=140))
    assert [(t.first_frame, len(t)) for t in source().tracks(clip)] == [(0, 30), (30, 35)]
    assert len(source(cut_threshold=1e9).tracks(clip)) == 1


def test_tracks_of_just_min_track_frames_are_dropped_and_longer_ones_kept():
    clip = clip_of(scene(40, (20, 30, 50, 0)))
    assert source(min_track=40).crops(clip, 32) == []
    assert len(source(min_track=39).crops(clip, 32)) == 1


def test_faces_up_to_the_least_size_are_dropped():
    clip = clip_of(scene(40, (20, 30, 50, 0), (120, 30, 60, 0)))
    assert [t.size_px for t in source(min_size_px=50).tracks(clip)] == [60]


def test_looking_at_every_fifth_frame_finds_the_same_tracks_with_a_fifth_of_the_work():
    moving = scene(41, (20, 30, 50, 1))
    whole = source().tracks(clip_of(moving))
    Bright.looked[0] = 0
    sparse = source(stride=5).tracks(clip_of(moving))
    assert Bright.looked[0] == 9
    assert [t.first_frame for t in sparse] == [0]
    np.testing.assert_allclose(sparse[0].boxes, whole[0].boxes, atol=1e-9)
    assert sparse[0].detections == 9


def test_two_metrics_with_the_same_detector_look_at_a_clip_once():
    clip = clip_of(scene(40, (20, 30, 50, 0)))
    Bright.looked[0] = 0
    source().crops(clip, 32)
    source().crops(clip, 64)
    source(min_track=15).tracks(clip)
    assert Bright.looked[0] == 40


def test_frames_are_counted_at_25_fps_whatever_the_clip_has():
    still, moving = scene(20), scene(20, (20, 30, 50, 0))
    (crop,) = source().crops(clip_of(still, moving, fps=12.5), 32)
    assert (crop.first_frame, len(crop.frames)) == (39, 41)  # frame 39 lies half way, and goes to the even one


def test_a_clip_without_faces_has_no_crops():
    assert source().crops(clip_of(scene(30)), 32) == []


def test_sources_are_values_that_can_be_sent_to_another_process_and_named_in_yaml():
    haar = TrackedFaces(Haar(min_face_px=80), min_track=50)
    assert pickle.loads(pickle.dumps(haar)) == haar
    assert haar != TrackedFaces(Haar(), min_track=50)
    detector = {"class_path": "metrics.faces.haar.Haar", "init_args": {"min_face_px": 80}}
    named = {"class_path": "metrics.faces.tracked.TrackedFaces", "init_args": {"detector": detector, "min_track": 50}}
    assert build(named, "bench.faces") == haar


def test_protocols_name_what_sets_them_apart():
    original, latentsync = TrackedFaces.original(Haar()), TrackedFaces.latentsync(Haar())
    assert "more than 100 frames" in original.describe() and "more than 50 frames" in latentsync.describe()
    assert "changes by 30" in original.describe() and "changes by 27" in latentsync.describe()


@pytest.mark.parametrize("value", ["stride", "min_size_px", "max_gap", "min_iou", "cut_threshold"])
def test_every_setting_that_moves_a_number_is_part_of_the_protocol(value):
    assert source(**{value: 14}).describe() != source(**{value: 17}).describe()


def test_settings_that_cannot_work_are_refused():
    with pytest.raises(UserError, match="min_track is 5; positions are steadied over 13 frames"):
        source(min_track=5)
    with pytest.raises(UserError, match="stride is 30; it must be from 1 to max_gap"):
        source(stride=30)


def test_overlap_and_gap_of_a_track_are_the_settings():
    jump = clip_of(scene(25, (20, 30, 50, 0)), scene(25, (50, 30, 50, 0)))  # by 30 of 50 columns: an IoU of a quarter
    assert [len(t) for t in source(cut_threshold=1e9).tracks(jump)] == [25, 25]
    assert [len(t) for t in source(cut_threshold=1e9, min_iou=0.2).tracks(jump)] == [50]
    hidden = clip_of(scene(25, (20, 30, 50, 0)), scene(8), scene(25, (20, 30, 50, 0)))
    assert [len(t) for t in source(cut_threshold=1e9).tracks(hidden)] == [58]
    assert [len(t) for t in source(cut_threshold=1e9, max_gap=8).tracks(hidden)] == [25, 25]
