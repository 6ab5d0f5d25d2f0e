import math
import os
import pickle

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from scipy.linalg import sqrtm

from data.media import encode_flac, encode_mp4
from harmony_lit.containers import Clip
from metrics.audio.frechet import FrechetDistance, frechet_distance
from metrics.audio.network import Heard, SoundNetwork
from metrics.bench.cases import BenchCase


class Shape(SoundNetwork):
    """Three numbers of every half second; no weights."""

    title, published, classes = "shape of sound", "nothing", 3

    def missing(self):
        return None

    def hear(self, waveform):
        pieces = waveform[: len(waveform) // 8000 * 8000].reshape(-1, 8000)
        features = torch.stack([pieces.abs().mean(1), pieces.std(1), pieces.amax(1)], dim=1) * 10
        return Heard(features, features.mean(0))


def sound(seed, seconds=2.0, level=0.1):
    generator = torch.Generator().manual_seed(seed)
    return level * (1 + seed % 3) * torch.randn(round(16_000 * seconds), generator=generator).clamp(-3, 3)


def clip(seed, **settings):
    audio = sound(seed, **settings)
    return Clip(torch.zeros(len(audio) // 640, 3, 16, 16, dtype=torch.uint8), audio, 25.0, 16_000)


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    """Eight cases with true clips on disk."""
    folder = tmp_path_factory.mktemp("truths")
    for seed in range(8):
        truth = clip(100 + seed, level=0.08)
        (folder / f"{seed}.flac").write_bytes(encode_flac(truth.audio, 16_000))
        (folder / f"{seed}.mp4").write_bytes(encode_mp4(truth))
    return [BenchCase(str(seed), "ambient", truth=str(folder / f"{seed}.mp4")) for seed in range(8)]


def gaussian(seed, count, width, shift=0.0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(count, width)) @ rng.normal(size=(width, width)) + shift


def slow_frechet(a, b):
    """The formula as it stands, with scipy's square root of a matrix."""
    root = sqrtm(np.cov(a, rowvar=False) @ np.cov(b, rowvar=False))
    spread = np.trace(np.cov(a, rowvar=False) + np.cov(b, rowvar=False) - 2 * np.real(root))
    return np.square(a.mean(0) - b.mean(0)).sum() + spread


@pytest.mark.parametrize(("count", "other", "width"), [(200, 150, 6), (40, 60, 12)])
def test_the_distance_is_the_formula_with_a_matrix_square_root(count, other, width):
    a, b = gaussian(0, count, width), gaussian(1, other, width, shift=0.5)
    assert frechet_distance(torch.tensor(a), torch.tensor(b)) == pytest.approx(slow_frechet(a, b), rel=1e-6)


def test_of_fewer_sounds_than_features_it_is_still_a_distance():
    a, b = (torch.tensor(gaussian(seed, 10, 64)) for seed in (0, 1))
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-6 * float(a.var(0).sum()))
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(b, a), rel=1e-6) and frechet_distance(a, b) > 0
    assert math.isnan(frechet_distance(a[:1], b))


def filled(cases, seeds):
    metric = FrechetDistance(Shape())
    for seed in seeds:
        metric.update(clip(seed), cases[seed])
    return metric


def test_clips_are_held_against_the_truths_of_their_cases(cases):
    metric = filled(cases, range(8))
    metric.update(clip(9), BenchCase("none", "ambient"))
    hear = Shape().hear
    heard = torch.cat([hear(sound(seed) - sound(seed).mean()).features for seed in range(8)])
    truths = [sound(100 + seed, level=0.08) for seed in range(8)]
    true = torch.cat([hear(truth - truth.mean()).features for truth in truths])
    assert float(metric.compute()["fd"]) == pytest.approx(frechet_distance(heard, true), rel=1e-3)
    assert metric.clips and metric.features(clip(9), BenchCase("none", "ambient")) is None


def test_features_travel_between_processes_and_sum_up_in_any_order(cases):
    metric = FrechetDistance(Shape(), key="fad")
    for seed in reversed(range(8)):
        metric.add(pickle.loads(pickle.dumps(metric.features(clip(seed), cases[seed]))))
    expected = float(filled(cases, range(8)).compute()["fd"])
    assert float(metric.compute()["fad"]) == pytest.approx(expected, rel=1e-6)
    assert metric.measures[0].title == "FAD"


def _rank(rank, store, cases, shares, results):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
    results[rank] = float(filled(cases, shares[rank]).compute()["fd"])
    dist.destroy_process_group()


@pytest.mark.skipif(os.name == "nt", reason="needs fork")
@pytest.mark.parametrize("shares", [((0, 1, 2, 3, 4), (5, 6, 7)), ((0, 1, 2, 3, 4, 5, 6, 7), ())])
def test_two_ranks_give_the_distance_over_all_clips_even_if_one_has_none(tmp_path, cases, shares):
    expected = float(filled(cases, range(8)).compute()["fd"])
    context = mp.get_context("fork")
    with context.Manager() as manager:
        results = manager.dict()
        mp.start_processes(_rank, (str(tmp_path / "store"), cases, shares, results), nprocs=2, start_method="fork")
        assert list(results.values()) == pytest.approx([expected, expected], rel=1e-6)
