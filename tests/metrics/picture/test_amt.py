import pytest
import torch

from metrics.picture.amt import AMTNetwork


def test_the_frame_between_agrees_with_the_reference_implementation(fill):
    draw = torch.Generator().manual_seed(12)
    before, after = torch.rand(2, 1, 3, 130, 150, generator=draw)
    network = fill(AMTNetwork())
    with torch.inference_mode():
        for value in network.parameters():
            if value.ndim > 1:
                value.mul_(2)  # else what is looked up hardly counts
        middle = network(before, after)
    assert middle.shape == (1, 3, 130, 150)
    # VBench's copy of MCG-NKU/AMT, its InputPadder around it, on the same values.
    expected = {
        (10, 20): (0.704675, 0.567423, 0.565690),
        (60, 100): (0.0, 0.254458, 0.099059),
        (129, 149): (0.731753, 0.903657, 0.669437),
    }
    for (row, column), value in expected.items():
        assert middle[0, :, row, column].tolist() == pytest.approx(value, abs=5e-4)
    assert float(middle.mean()) == pytest.approx(0.571496, abs=1e-4)
    assert float(middle.std()) == pytest.approx(0.275788, abs=1e-4)


def test_it_has_the_published_number_of_parameters():
    assert sum(parameter.numel() for parameter in AMTNetwork().parameters()) == 2_990_543


def test_pairs_do_not_see_one_another(fill):
    network = fill(AMTNetwork())
    before, after = torch.rand(2, 2, 3, 64, 80, generator=torch.Generator().manual_seed(3))
    with torch.inference_mode():
        together = network(before, after)
        alone = network(before[1:], after[1:])
    assert torch.allclose(together[1:], alone, atol=1e-5)


def test_in_bf16_it_draws_nearly_the_same_frame(fill):
    before, after = torch.rand(2, 1, 3, 64, 80, generator=torch.Generator().manual_seed(2))
    network = fill(AMTNetwork())
    with torch.inference_mode():
        exact = network(before, after)
        rough = network.bfloat16()(before, after)
    assert rough.dtype == torch.float32
    assert (rough - exact).abs().max() < 0.05
