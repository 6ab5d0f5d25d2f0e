import cv2
import numpy as np
import pytest
import torch
from scipy.signal import medfilt

from metrics.faces.crop import crop_track, steadied
from metrics.faces.tracks import Track


def slow_crops(video: np.ndarray, track: Track, size: int) -> list[np.ndarray]:
    """The published recipe word by word: pad the whole picture with grey, cut, resize."""
    half = medfilt([max(b[3] - b[1], b[2] - b[0]) / 2 for b in track.boxes], 13)
    y = medfilt([(b[1] + b[3]) / 2 for b in track.boxes], 13)
    x = medfilt([(b[0] + b[2]) / 2 for b in track.boxes], 13)
    crops = []
    for i in range(len(track)):
        pad = int(half[i] * 1.8)
        picture = np.pad(video[track.first_frame + i], ((pad, pad), (pad, pad), (0, 0)), constant_values=110)
        my, mx = y[i] + pad, x[i] + pad
        rows = slice(int(my - half[i]), int(my + half[i] * 1.8))
        columns = slice(int(mx - half[i] * 1.4), int(mx + half[i] * 1.4))
        crops.append(cv2.resize(picture[rows, columns], (size, size)))
    return crops


@pytest.mark.parametrize("centre", [(100.0, 70.0), (20.0, 15.0), (188.0, 110.0)], ids=["inside", "corner", "edge"])
def test_crops_are_those_of_the_published_recipe(centre):
    rng = np.random.default_rng(0)
    video = rng.integers(0, 256, (30, 120, 200, 3), dtype=np.uint8)
    middle = np.array(centre) + rng.normal(0, 2, (20, 2)).cumsum(axis=0) * 0.3
    half = 18 + rng.normal(0, 1, (20, 2))
    track = Track(5, np.concatenate([middle - half, middle + half], axis=1), 20)
    crops = crop_track(torch.from_numpy(video).permute(0, 3, 1, 2), track, 48)
    assert crops.shape == (20, 3, 48, 48) and crops.dtype == torch.uint8
    np.testing.assert_array_equal(crops.permute(0, 2, 3, 1).numpy(), slow_crops(video, track, 48))


def test_positions_are_steadied_by_a_running_median_that_sees_zeros_beyond_the_ends():
    values = np.random.default_rng(0).uniform(50, 60, 40)
    np.testing.assert_allclose(steadied(values), medfilt(values, 13))
    outlier = np.full(30, 7.0)
    outlier[15] = 100
    assert steadied(outlier)[15] == 7


def test_the_face_lies_in_the_upper_middle_of_its_crop():
    video = torch.zeros(20, 3, 200, 200, dtype=torch.uint8)
    video[:, :, 80:120, 60:100] = 255
    crop = crop_track(video, Track(0, np.tile([60.0, 80.0, 100.0, 120.0], (20, 1)), 20), 280)[10, 0]
    bright = torch.nonzero(crop > 127)
    assert bright.min(dim=0).values.tolist() == pytest.approx([0, 40], abs=6)
    assert bright.max(dim=0).values.tolist() == pytest.approx([100 / 140 * 280, 240], abs=6)
