import torch

from metrics.faces.base import FaceCrop
from metrics.faces.survey import contact_sheet


def test_a_contact_sheet_has_a_row_of_evenly_spaced_frames_for_each_crop():
    rising = torch.arange(0, 50, dtype=torch.uint8)[:, None, None, None].expand(50, 3, 4, 4)
    sheet = contact_sheet([FaceCrop(rising, 0), FaceCrop(rising + 100, 0)], columns=3)
    assert sheet.shape == (3, 8, 12)
    assert sheet[0, 0].tolist() == [0] * 4 + [24] * 4 + [49] * 4
    assert sheet[0, 7, 0] == 100
