import pytest
import torch

from harmony_lit.training.ema import EMA


def test_the_average_follows_the_formula() -> None:
    ema, average, values = EMA(decay=0.9), torch.zeros(3), torch.randn(20, 3)
    expected = average.clone()
    for n, value in enumerate(values, start=1):
        decay = min(0.9, (1 + n) / (10 + n))
        expected = decay * expected + (1 - decay) * value
        ema._update([average], [value], torch.tensor(n))
    torch.testing.assert_close(average, expected)


def test_a_tensor_that_does_not_change_is_averaged_to_itself_bit_for_bit() -> None:
    ema, frozen = EMA(decay=0.99), torch.randn(1000)
    average = frozen.clone()
    for n in range(1, 200):
        ema._update([average], [frozen], n)
    assert torch.equal(average, frozen)


def test_counters_are_copied() -> None:
    average = torch.tensor([1])
    EMA()._update([average], [torch.tensor([7])], 3)
    assert average.item() == 7


def test_a_decay_of_one_is_refused() -> None:
    with pytest.raises(ValueError, match="decay"):
        EMA(decay=1.0)
