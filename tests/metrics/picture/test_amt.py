import pytest
import torch

from metrics.picture.amt import AMTNetwork


def test_the_frame_between_agrees_with_the_reference_implementation(fill):
    draw = torch.Generator().manual_seed(12)
    before, after = torch.rand(2, 1, 3, 130, 150, generator=draw)
    with torch.inference_mode():
        middle = fill(AMTNetwork())(before, after)
    assert middle.shape == (1, 3, 130, 150)
    # VBench's copy of MCG-NKU/AMT, its InputPadder around it, on the same values.
    expected = {
        (10, 20): (0.772794, 0.655849, 0.750319),
        (60, 100): (0.584625, 0.206008, 0.656489),
        (129, 149): (0.554762, 0.521202, 0.760079),
    }
    for (row, column), value in expected.items():
        assert middle[0, :, row, column].tolist() == pytest.approx(value, abs=1e-4)
    assert float(middle.std()) == pytest.approx(0.159069, abs=1e-4)


def test_it_has_the_published_number_of_parameters():
    assert sum(parameter.numel() for parameter in AMTNetwork().parameters()) == 2_990_543


def test_pairs_do_not_see_one_another(fill):
    network = fill(AMTNetwork())
    before, after = torch.rand(2, 2, 3, 64, 80, generator=torch.Generator().manual_seed(3))
    with torch.inference_mode():
        together = network(before, after)
        alone = network(before[1:], after[1:])
    assert torch.allclose(together[1:], alone, atol=1e-5)
