"""V-trace beside numbers computed elsewhere, the sum of its definition, and what it reduces to."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from offline_trader.errors import DataError
from offline_trader.learning.estimators import vtrace

GAMMA = 0.9
REWARDS = np.array([1.0, 0.0, -1.0, 2.0, 0.5])
VALUES = np.array([0.5, 0.2, -0.3, 0.7, 0.1])
RATIOS = np.array([0.5, 2.0, 1.0, 0.25, 3.0])
AFTER = np.append(VALUES[1:], 0.4)


def test_golden_values() -> None:
    found = vtrace(REWARDS, VALUES, AFTER, RATIOS, GAMMA)
    np.testing.assert_allclose(
        found.values, [0.78914325, 0.086985, 0.09665, 1.2185, 0.86], rtol=0, atol=1e-12
    )
    np.testing.assert_allclose(
        found.advantages, [0.28914325, -0.113015, 0.39665, 0.5185, 0.76], rtol=0, atol=1e-12
    )


def by_definition(
    rewards: NDArray[np.float64],
    values: NDArray[np.float64],
    after: NDArray[np.float64],
    ratios: NDArray[np.float64],
    rho_bar: float,
    c_bar: float,
) -> list[float]:
    """Equation 1: ``v_s = V_s + Σ_t γ^(t−s) (Π c_i) δ_t``, of one unbroken trajectory."""
    delta = np.minimum(ratios, rho_bar) * (rewards + GAMMA * after - values)
    found = []
    for s in range(len(rewards)):
        total = values[s]
        for t in range(s, len(rewards)):
            total += GAMMA ** (t - s) * np.prod(np.minimum(ratios[s:t], c_bar)) * delta[t]
        found.append(float(total))
    return found


@pytest.mark.parametrize(("rho_bar", "c_bar"), [(1.0, 1.0), (1.5, 0.7), (4.0, 4.0)])
def test_the_recursion_is_the_sum(rho_bar: float, c_bar: float) -> None:
    found = vtrace(REWARDS, VALUES, AFTER, RATIOS, GAMMA, largest_rho=rho_bar, largest_c=c_bar)
    expected = by_definition(REWARDS, VALUES, AFTER, RATIOS, rho_bar, c_bar)
    np.testing.assert_allclose(found.values, expected, atol=1e-12)


def test_on_policy_it_is_the_discounted_return() -> None:
    found = vtrace(REWARDS, VALUES, AFTER, np.ones(5), GAMMA)
    expected, following = np.zeros(5), 0.4
    for t in range(4, -1, -1):
        following = REWARDS[t] + GAMMA * following
        expected[t] = following
    np.testing.assert_allclose(found.values, expected, atol=1e-12)
    np.testing.assert_allclose(found.advantages, expected - VALUES, atol=1e-12)


def test_lanes_and_the_two_ends_of_episodes_are_apart() -> None:
    """A lane cut in two is two trajectories: one with nothing after it, one with its own V."""
    rng = np.random.default_rng(0)
    rewards, values, after = rng.standard_normal((3, 6, 3))
    ratios = rng.uniform(0.2, 2.0, (6, 3))
    ends = np.zeros((2, 6, 3), bool)
    ends[0, 2, 0] = ends[1, 2, 1] = True
    found = vtrace(rewards, values, after, ratios, GAMMA, terminated=ends[0], truncated=ends[1])
    for lane in range(3):
        parts = [slice(0, 3), slice(3, 6)] if lane < 2 else [slice(0, 6)]
        for part in parts:
            following = after[part, lane].copy()
            if lane == 0 and part.start == 0:
                following[-1] = 0.0
            alone = vtrace(
                rewards[part, lane], values[part, lane], following, ratios[part, lane], GAMMA
            )
            np.testing.assert_allclose(found.values[part, lane], alone.values, atol=1e-12)
            np.testing.assert_allclose(found.advantages[part, lane], alone.advantages, atol=1e-12)


def test_arrays_of_several_shapes_are_refused() -> None:
    with pytest.raises(DataError, match="arrays of shapes"):
        vtrace(REWARDS, VALUES, AFTER[:-1], RATIOS, GAMMA)
