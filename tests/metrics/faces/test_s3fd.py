import zlib

import cv2
import pytest
import torch

from harmony_lit.containers import Clip
from harmony_lit.errors import UserError
from metrics.faces.s3fd import S3FD
from metrics.faces.s3fd_network import MEAN_RGB, S3FDNetwork
from metrics.faces.tracked import TrackedFaces
from metrics.networks import forget_shared


def filled() -> S3FDNetwork:
    """Random weights that any implementation with the same keys can repeat: scores spread out, boxes near anchors."""
    network = S3FDNetwork()
    with torch.no_grad():
        for key, value in network.state_dict().items():
            noise = torch.randn(value.shape, generator=torch.Generator().manual_seed(zlib.crc32(key.encode())))
            if key.startswith("L2Norm"):
                value.copy_(8 + noise)
            elif value.ndim == 1:
                value.copy_(0.1 * noise)
            else:
                gain = 0.01 if key == "vgg.0.weight" else 3.0 if key.startswith("conf") else 1.0
                value.copy_(gain * (2 / value[0].numel()) ** 0.5 * noise)
    return network.eval()


def picture() -> torch.Tensor:
    """(1, 3, 240, 320) uint8: coloured squares of noise."""
    small = torch.randint(0, 256, (1, 3, 15, 20), generator=torch.Generator().manual_seed(0))
    return small.repeat_interleave(16, 2).repeat_interleave(16, 3).to(torch.uint8)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A file in the published layout with random weights."""
    path = tmp_path_factory.mktemp("s3fd") / "sfd_face.pth"
    torch.save(filled().state_dict(), path)
    yield str(path)
    forget_shared()


def test_keys_and_size_are_those_of_the_published_file():
    state = S3FDNetwork().state_dict()
    convolutions = [f"vgg.{i}" for i in (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28, 31, 33)]
    convolutions += [f"extras.{i}" for i in range(4)] + [f"{head}.{i}" for head in ("loc", "conf") for i in range(6)]
    expected = {f"{name}.{kind}" for name in convolutions for kind in ("weight", "bias")}
    assert set(state) == expected | {f"L2Norm{place}.weight" for place in ("3_3", "4_3", "5_3")}


def test_a_picture_too_small_for_the_network_has_no_faces(weights):
    video = torch.zeros(2, 3, 100, 400, dtype=torch.uint8)
    assert [len(faces) for faces in S3FD(weights, scale=0.25).detect(video)] == [0, 0]


def test_frames_are_told_apart_in_a_batch(weights):
    video = torch.cat([picture(), picture().flip(-1)])
    together = S3FD(weights, confidence=0.5, scale=0.5).detect(video)
    for frame, faces in zip(video, together, strict=True):
        (alone,) = S3FD(weights, confidence=0.5, scale=0.5).detect(frame[None])
        assert faces.boxes == pytest.approx(alone.boxes, abs=1e-2)


def test_weights_of_another_network_are_refused_with_the_difference(tmp_path):
    torch.save({"vgg.0.weight": torch.zeros(64, 3, 3, 3)}, tmp_path / "other.pth")
    with pytest.raises(UserError, match="do not fit the model.*missing"):
        S3FD(str(tmp_path / "other.pth")).detect(picture())


def test_absent_weights_are_told_and_present_ones_named(weights):
    assert "sfd_face.pth" in (S3FD().missing() or "")
    assert "nothing at" in (S3FD("/nowhere/sfd_face.pth").missing() or "")
    assert S3FD(weights).missing() is None
    assert "sfd_face.pth sha256:" in S3FD(weights).describe()


# What joonson/syncnet_python prints for these weights and this picture (its `S3FD.detect_faces` with conf_th 0.9).
REFERENCE = {
    1.0: (22, [260.5547, 119.1662, 325.7724, 191.9426], 0.98964),
    0.5: (7, [205.0725, 116.1752, 335.3744, 247.6759], 0.99488),
    0.25: (2, [203.4425, 157.1401, 339.9588, 277.4407], 0.97159),
}


@pytest.mark.parametrize("scale", REFERENCE)
def test_random_weights_find_the_faces_that_the_reference_implementation_finds_with_them(weights, scale):
    count, box, confidence = REFERENCE[scale]
    (faces,) = S3FD(weights, scale=scale).detect(picture())
    assert len(faces) == count
    assert faces.boxes[0] == pytest.approx(box, abs=1e-2)
    assert faces.confidences[0] == pytest.approx(confidence, abs=1e-4)


@pytest.mark.parametrize(("scale", "score_sum", "box_sum"), [(0.5, 505.8806, 447882.63), (0.25, 126.9754, 59898.908)])
def test_raw_scores_and_decoded_boxes_sum_to_what_the_reference_gives(scale, score_sum, box_sum):
    small = cv2.resize(picture()[0].permute(1, 2, 0).numpy(), None, fx=scale, fy=scale).astype("float32")
    with torch.no_grad():
        seen = filled()(torch.from_numpy(small).permute(2, 0, 1)[None] - torch.tensor(MEAN_RGB)[:, None, None])
    assert seen.faces.double().sum() == pytest.approx(score_sum, rel=1e-5)
    assert seen.boxes.double().abs().sum() == pytest.approx(box_sum, rel=1e-5)


def test_tracking_runs_end_to_end_with_randomly_initialised_s3fd(weights):
    video = picture().repeat(40, 1, 1, 1)
    clip = Clip(video, torch.zeros(25_600), 25.0, 16_000)
    crops = TrackedFaces(S3FD(weights, scale=0.25), min_track=20, stride=10).crops(clip, 64)
    assert len(crops) == 1 and crops[0].frames.shape == (31, 3, 64, 64)
