import pickle

import pytest
import torch

from harmony_lit.errors import UserError
from metrics.picture.flow import Farneback, Raft


@pytest.mark.parametrize("short_side", [None, 64, 48])
def test_farneback_measures_a_pan_in_pixels_of_the_clip_whatever_size_it_works_at(pan, short_side):
    video = pan([0, 3], height=96, width=128).video
    flow = Farneback(short_side).estimate(video[:1], video[1:])
    assert flow.shape == (1, 2, 96, 128)
    middle = flow[0, :, 24:-24, 24:-24].mean((1, 2))
    assert middle.tolist() == pytest.approx([-3.0, 0.0], abs=0.2)


def test_a_tall_picture_is_scaled_by_its_width(pan):
    video = pan([0, 3], height=128, width=96).video
    flow = Farneback(48).estimate(video[:1], video[1:])
    assert flow.shape == (1, 2, 128, 96)
    assert flow[0, 0, 32:-32, 24:-24].mean() == pytest.approx(-3.0, abs=0.3)


def test_all_neighbours_are_paired_once_across_batches(pan):
    video = pan([0, 1, 3, 4, 6, 9]).video
    estimator = Farneback()
    singly = [estimator.estimate(video[i : i + 1], video[i + 1 : i + 2])[0] for i in range(5)]
    for batch_size in (1, 2, 5, 8):
        estimator.batch_size = batch_size
        together = list(estimator.between_neighbours(video))
        assert len(together) == 5
        assert all(torch.equal(a, b) for a, b in zip(singly, together, strict=True))


def test_raft_says_which_weights_it_needs_and_travels_without_them(tmp_path):
    assert "raft-things.pth" in Raft().missing()
    assert "there is nothing at" in Raft(str(tmp_path / "absent.pth")).missing()
    assert pickle.loads(pickle.dumps(Raft("somewhere.pth"))).weights == "somewhere.pth"


def test_a_short_side_too_small_for_the_pyramid_is_refused():
    with pytest.raises(UserError, match="at least 16"):
        Farneback(8)
