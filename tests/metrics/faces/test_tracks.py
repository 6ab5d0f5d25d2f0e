import numpy as np

from metrics.faces.detector import Faces, iou
from metrics.faces.tracks import Track, join_faces


def square(x: float, y: float = 50.0, side: float = 40.0) -> list[float]:
    return [x - side / 2, y - side / 2, x + side / 2, y + side / 2]


def faces(*boxes: list[float]) -> Faces:
    return Faces(np.array(boxes, float).reshape(-1, 4), np.linspace(0.9, 0.5, len(boxes)))


def slow_join(found: dict[int, Faces], min_iou: float, max_gap: int) -> list[list[tuple[int, tuple]]]:
    """Pass after pass over all detections: each pass takes one track, until nothing is left."""
    left = [(frame, tuple(box)) for frame in sorted(found) for box in found[frame].boxes]
    tracks = []
    while left:
        track = [left[0]]
        for frame in sorted({f for f, _ in left}):
            if not track[-1][0] < frame <= track[-1][0] + max_gap:
                continue
            here = [box for f, box in left if f == frame]
            overlaps = [iou(np.array([box]), np.array([track[-1][1]]))[0, 0] for box in here]
            if max(overlaps) > min_iou:
                track.append((frame, here[int(np.argmax(overlaps))]))
        tracks.append(track)
        for detection in track:
            left.remove(detection)
    return tracks


def test_tracks_are_those_of_a_slow_search_with_gaps_strays_and_several_faces():
    rng = np.random.default_rng(0)
    for seed in range(10):
        walkers = [rng.uniform(0, 300, 2) for _ in range(3)]
        found = {}
        for frame in range(60):
            walkers = [w + rng.normal(0, 3, 2) for w in walkers]
            seen = [square(*w, side=60 + rng.normal()) for w in walkers if rng.random() > 0.3]
            strays = [square(*rng.uniform(0, 300, 2)) for _ in range(rng.integers(0, 2))]
            found[frame] = faces(*seen, *strays)
        expected = slow_join(found, 0.5, 4)
        tracks = join_faces(found, 0.5, 4)
        assert [t.detections for t in tracks] == [len(e) for e in expected], seed
        for track, slow in zip(tracks, expected, strict=True):
            assert (track.first_frame, len(track)) == (slow[0][0], slow[-1][0] - slow[0][0] + 1)
            for frame, box in slow:
                np.testing.assert_allclose(track.boxes[frame - track.first_frame], box)


def test_boxes_between_detections_lie_on_a_straight_line():
    (track,) = join_faces({3: faces(square(100)), 7: faces(square(108, 54, 44))}, 0.5, 25)
    assert (track.first_frame, len(track), track.detections) == (3, 5, 2)
    np.testing.assert_allclose(track.boxes[2], square(104, 52, 42))


def test_a_track_survives_a_gap_of_max_gap_frames_and_no_more():
    assert len(join_faces({0: faces(square(50)), 25: faces(square(50))}, 0.5, 25)) == 1
    assert len(join_faces({0: faces(square(50)), 26: faces(square(50))}, 0.5, 25)) == 2


def test_boxes_of_exactly_the_least_overlap_are_not_joined():
    one_third = {0: faces(square(50)), 1: faces(square(70))}  # half of each is shared: 1 / 3
    assert len(join_faces(one_third, 1 / 3 + 1e-9, 25)) == 2
    assert len(join_faces(one_third, 1 / 3 - 1e-9, 25)) == 1


def test_two_faces_that_cross_stay_two_tracks_if_both_are_seen():
    # One 10 px below the other, 4 px a frame: at the crossing each is nearest to its own last box.
    found = {i: faces(square(40 + 4 * i, 50), square(160 - 4 * i, 75)) for i in range(31)}
    a, b = join_faces(found, 0.5, 25)
    assert a.detections == b.detections == 31
    np.testing.assert_allclose(a.boxes[-1], square(160, 50))
    np.testing.assert_allclose(b.boxes[-1], square(40, 75))


def test_of_two_faces_that_cross_behind_one_another_one_track_goes_on_and_none_takes_both():
    # On the middle frames only the nearer face is seen, as a detector's own suppression leaves it.
    found = {}
    for i in range(31):
        near, far = square(40 + 4 * i), square(160 - 4 * i)
        hidden = iou(np.array([near]), np.array([far]))[0, 0] > 0.3
        found[i] = faces(near) if hidden else faces(near, far)
    tracks = join_faces(found, 0.5, 25)
    assert sum(t.detections for t in tracks) == sum(len(f) for f in found.values())
    np.testing.assert_allclose(tracks[0].boxes[:, 0], [20 + 4 * i for i in range(31)])


def test_the_size_of_a_track_is_its_mean_width_or_height_whichever_is_larger():
    boxes = np.array([[0, 0, 80, 100], [0, 0, 90, 120]], float)
    assert Track(0, boxes, 2).size_px == 110


def test_no_faces_make_no_tracks():
    assert join_faces({0: Faces.none(), 1: Faces.none()}, 0.5, 25) == []
