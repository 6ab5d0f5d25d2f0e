import numpy as np
import pytest

from data.world.physics import FIRST_IMPACT_S, LAST_IMPACT_BEFORE_END_S, Bounces, draw_bounces


def test_the_ball_falls_freely_between_impacts():
    gravity, dt = 3.0, 1e-3
    bounces = Bounces(np.array([-0.4, 0.3, 1.1, 2.0]), gravity)
    heights = np.array([bounces.height(t) for t in np.arange(0.31, 1.09, dt)])
    acceleration = np.diff(heights, 2) / dt**2
    np.testing.assert_allclose(acceleration, -gravity, atol=1e-6)


def test_the_ball_touches_at_impacts_and_rises_as_the_gap_allows():
    bounces = Bounces(np.array([-0.4, 0.3, 1.1, 2.0]), 3.0)
    assert bounces.height(0.3) == pytest.approx(0, abs=1e-9)
    assert bounces.height(1.1) == pytest.approx(0, abs=1e-9)
    assert bounces.height(0.7) == pytest.approx(3.0 * 0.8**2 / 8)


def test_impacts_keep_their_distances_and_leave_the_end_free():
    rng = np.random.default_rng(0)
    for _ in range(200):
        times = draw_bounces(rng, 2.44, (0.5, 1.2), 3.0)
        inside = times.within(2.44)
        assert times.times_s[0] < 0
        assert FIRST_IMPACT_S[0] <= inside[0] <= FIRST_IMPACT_S[1]
        assert (np.diff(inside) >= 0.5).all()
        assert inside[-1] <= 2.44 - LAST_IMPACT_BEFORE_END_S
        assert times.times_s[-1] > 2.44
