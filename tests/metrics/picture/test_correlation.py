import math

import pytest
import torch

from metrics.picture.correlation import CorrelationPyramid, pixel_grid, sample_at


def slow_sample(picture: torch.Tensor, x: float, y: float) -> float:
    """Bilinear value of (H, W) at column ``x``, row ``y``; zero outside."""
    height, width = picture.shape
    value = 0.0
    for row in (math.floor(y), math.floor(y) + 1):
        for column in (math.floor(x), math.floor(x) + 1):
            if 0 <= row < height and 0 <= column < width:
                value += float(picture[row, column]) * (1 - abs(y - row)) * (1 - abs(x - column))
    return value


def slow_lookup(first, second, places, levels, radius):
    """Correlations of each pixel of ``first`` with ``second``, averaged over 2^level squares, around its place."""
    _, channels, height, width = first.shape
    found = torch.zeros(levels * (2 * radius + 1) ** 2, height, width)
    for row in range(height):
        for column in range(width):
            products = torch.einsum("c,chw->hw", first[0, :, row, column], second[0]) / math.sqrt(channels)
            values = []
            for level in range(levels):
                size = 2**level
                rows, columns = height // size, width // size
                coarse = products[: rows * size, : columns * size].reshape(rows, size, columns, size).mean((1, 3))
                x, y = (float(places[0, axis, row, column]) / size for axis in (0, 1))
                for right in range(-radius, radius + 1):
                    values += [slow_sample(coarse, x + right, y + down) for down in range(-radius, radius + 1)]
            found[:, row, column] = torch.tensor(values)
    return found[None]


@pytest.mark.parametrize("size", [(4, 6), (5, 7), (9, 4)])
def test_lookup_agrees_with_loops_over_pixels_levels_and_neighbours(size):
    torch.manual_seed(0)
    first, second = torch.randn(2, 1, 8, *size)
    places = pixel_grid(*size, torch.device("cpu")) + 3 * torch.randn(1, 2, *size)
    pyramid = CorrelationPyramid(first, second, levels=3, radius=2)
    assert torch.allclose(pyramid.lookup(places), slow_lookup(first, second, places, 3, 2), atol=1e-5)


def test_a_level_of_one_pixel_can_be_looked_up():
    features = torch.randn(2, 4, 8, 8)
    found = CorrelationPyramid(features, features, levels=4, radius=1).lookup(
        pixel_grid(8, 8, torch.device("cpu")).expand(2, -1, -1, -1)
    )
    assert found.shape == (2, 36, 8, 8)
    assert torch.isfinite(found).all()


def test_samples_are_exact_on_pixels_and_fade_to_zero_outside():
    picture = torch.arange(6.0).reshape(1, 1, 2, 3) + 1
    places = torch.tensor([[[[2.0, 1.0], [0.5, 0.0], [-0.5, 0.0], [3.0, 0.0]]]])
    assert sample_at(picture, places).flatten().tolist() == pytest.approx([6.0, 1.5, 0.5, 0.0], abs=1e-5)
