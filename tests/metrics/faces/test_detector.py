import numpy as np
import pytest

from metrics.faces.detector import Faces, iou


def random_boxes(rng: np.random.Generator, count: int) -> np.ndarray:
    corner = rng.uniform(0, 60, (count, 2))
    return np.concatenate([corner, corner + rng.uniform(10, 40, (count, 2))], axis=1)


def slow_iou(a: np.ndarray, b: np.ndarray) -> float:
    """Counted on a grid of quarter pixels."""
    y, x = np.mgrid[0:110:0.25, 0:110:0.25] + 0.125
    inside = [(box[0] < x) & (x < box[2]) & (box[1] < y) & (y < box[3]) for box in (a, b)]
    return (inside[0] & inside[1]).sum() / (inside[0] | inside[1]).sum()


def slow_suppression(boxes: np.ndarray, confidences: np.ndarray, max_iou: float) -> list[int]:
    kept, left = [], sorted(range(len(boxes)), key=lambda i: -confidences[i])
    while left:
        best = left.pop(0)
        kept.append(best)
        left = [i for i in left if iou(boxes[best][None], boxes[i][None])[0, 0] <= max_iou]
    return kept


def test_iou_agrees_with_counting_points_of_a_grid():
    rng = np.random.default_rng(0)
    a, b = random_boxes(rng, 6), random_boxes(rng, 5)
    slow = [[slow_iou(x, y) for y in b] for x in a]
    np.testing.assert_allclose(iou(a, b), slow, atol=0.02)


@pytest.mark.parametrize("max_iou", [0.1, 0.3, 0.6])
def test_suppression_keeps_what_a_loop_keeps(max_iou):
    rng = np.random.default_rng(1)
    boxes, confidences = random_boxes(rng, 40), rng.random(40)
    kept = slow_suppression(boxes, confidences, max_iou)
    faces = Faces.sorted(boxes, confidences).apart(max_iou)
    assert 1 < len(kept) < 40
    np.testing.assert_array_equal(faces.boxes, boxes[kept])
    np.testing.assert_array_equal(faces.confidences, confidences[kept])


def test_no_face_at_all_can_be_sorted_and_suppressed():
    assert len(Faces.none().apart(0.5)) == 0
    assert Faces.sorted(np.zeros((0, 4)), np.zeros(0)).boxes.shape == (0, 4)
