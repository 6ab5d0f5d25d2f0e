import pickle

import pytest
import torch

from harmony_lit.errors import UserError
from metrics.faces.haar import Haar
from metrics.faces.s3fd import S3FD
from metrics.faces.yunet import YuNet


@pytest.mark.parametrize(
    "detector", [Haar(), YuNet("nowhere.onnx"), S3FD("nowhere.pth")], ids=lambda d: type(d).__name__
)
def test_detectors_are_values_that_load_nothing_when_they_are_made_and_sent(detector):
    assert pickle.loads(pickle.dumps(detector)) == detector
    assert hash(detector) == hash(pickle.loads(pickle.dumps(detector)))


def test_haar_says_so_where_opencv_has_no_cascades(monkeypatch):
    assert Haar().missing() is None
    monkeypatch.delattr("cv2.data.haarcascades")
    assert "OpenCV 4" in (Haar().missing() or "")


def test_absent_weights_of_yunet_are_told():
    assert (YuNet().missing() or "").startswith("YuNet's ONNX file")
    assert "nothing at nowhere.onnx" in (YuNet("nowhere.onnx").missing() or "")


def test_a_file_that_is_no_network_is_refused_in_a_sentence(tmp_path):
    (tmp_path / "face.onnx").write_bytes(b"no network")
    with pytest.raises(UserError, match=r"face\.onnx is not an ONNX file of YuNet"):
        YuNet(str(tmp_path / "face.onnx")).detect(torch.zeros(1, 3, 64, 64, dtype=torch.uint8))
