from dataclasses import dataclass

import cv2
import numpy as np
import pytest
import torch

from data.media import write_mp4
from harmony_lit.containers import Clip
from harmony_lit.errors import UserError
from metrics.faces.__main__ import main
from metrics.faces.base import FaceCrop
from metrics.faces.detector import FaceDetector, Faces
from metrics.faces.survey import contact_sheet, survey
from metrics.faces.tracked import TrackedFaces
from metrics.faces.yunet import YuNet


@dataclass(frozen=True)
class WhiteBox(FaceDetector):
    """Sees a face where the clip below has one."""

    def describe(self) -> str:
        return "white box"

    def detect(self, video: torch.Tensor) -> list[Faces]:
        box = Faces(np.array([[30.0, 20.0, 80.0, 70.0]]), np.ones(1))
        return [box if frame[0, 45, 55] > 128 else Faces.none() for frame in video]


def boxed_clip() -> Clip:
    """A white box on the first 30 of 40 frames."""
    video = torch.zeros(40, 3, 96, 128, dtype=torch.uint8)
    video[:30, :, 20:70, 30:80] = 255
    return Clip(video, torch.zeros(25_600), 25.0, 16_000)


def test_a_contact_sheet_has_a_row_of_evenly_spaced_frames_for_each_crop():
    rising = torch.arange(0, 50, dtype=torch.uint8)[:, None, None, None].expand(50, 3, 4, 4)
    sheet = contact_sheet([FaceCrop(rising, 0), FaceCrop(rising + 100, 0)], columns=3)
    assert sheet.shape == (3, 8, 12)
    assert sheet[0, 0].tolist() == [0] * 4 + [24] * 4 + [49] * 4
    assert sheet[0, 7, 0] == 100


def test_a_survey_counts_what_is_found_and_what_is_kept():
    found = survey(boxed_clip(), TrackedFaces(WhiteBox(), min_track=20, min_size_px=60))
    assert (found.frames, found.tracks, found.kept, found.longest) == (40, 1, 0, 30)
    assert found.seen == 0.75 and found.sizes_px == (50.0,)
    kept = survey(boxed_clip(), TrackedFaces(WhiteBox(), min_track=20, min_size_px=40))
    assert kept.kept == 1


def test_a_folder_of_clips_is_told_as_a_table_and_as_pictures_of_the_crops(tmp_path, capsys):
    write_mp4(tmp_path / "box.mp4", boxed_clip())
    main(tmp_path, TrackedFaces(WhiteBox(), min_track=20, min_size_px=40), sheets=tmp_path / "sheets")
    assert "box" in capsys.readouterr().out
    assert cv2.imread(str(tmp_path / "sheets" / "box.png")).shape == (112, 8 * 112, 3)


def test_a_detector_without_weights_and_a_folder_without_clips_are_told_in_a_sentence(tmp_path):
    with pytest.raises(UserError, match="the detector needs YuNet's ONNX file"):
        main(tmp_path, TrackedFaces(YuNet()))
    with pytest.raises(UserError, match="there are no mp4 files"):
        main(tmp_path, TrackedFaces(WhiteBox()))
