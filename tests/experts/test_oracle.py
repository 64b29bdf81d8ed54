"""Perfect foresight equals trying every path, and is a band around the present position."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offline_trader.errors import ConfigError, DataError
from offline_trader.experts._foresight import backward_sweep
from offline_trader.experts.oracle import foresight_bands, holding_returns, perfect_foresight
from offline_trader.types import FloatArray

returns_lists = st.lists(st.floats(-0.05, 0.05), min_size=1, max_size=5)


def earned(positions: FloatArray, returns: FloatArray, cost: float, start: float) -> float:
    changes = np.abs(np.diff(np.concatenate([[start], positions])))
    return float(positions @ returns - cost * changes.sum())


@settings(max_examples=60, deadline=None)
@given(
    returns=returns_lists,
    cost=st.sampled_from([0.0, 1e-4, 0.003, 0.02, 1.0]),
    grid=st.sampled_from([(0.0, 1.0), (-1.0, 0.0, 1.0), (-1.0, -0.3, 0.0, 0.5, 1.0)]),
)
def test_equals_brute_force(returns: list[float], cost: float, grid: tuple[float, ...]) -> None:
    r = np.array(returns)
    positions, value = perfect_foresight(r, cost, np.array(grid))
    best = max(
        earned(np.array(path), r, cost, 0.0) for path in itertools.product(grid, repeat=len(r))
    )
    assert value == pytest.approx(best, abs=1e-14)
    assert earned(positions, r, cost, 0.0) == pytest.approx(value, abs=1e-14)
    assert set(positions) <= set(grid)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), cost=st.sampled_from([0.0, 0.001, 0.01]))
def test_the_best_move_is_a_clip_to_the_band(seed: int, cost: float) -> None:
    r = np.random.default_rng(seed).normal(0.0, 0.01, 50)
    grid = np.linspace(-1.0, 1.0, 9)
    low, high = foresight_bands(r, cost, grid)
    choice, _ = backward_sweep(r, cost, grid)
    np.testing.assert_array_equal(grid[choice], np.clip(grid[None, :], low[:, None], high[:, None]))


def test_golden_path() -> None:
    # Up 2 %, down 1 %, up 2 %, down 5 %; a round trip costs 1.2 %: sit through the small fall.
    r = np.array([0.02, -0.01, 0.02, -0.05])
    positions, value = perfect_foresight(r, 0.006, np.array([0.0, 1.0]))
    np.testing.assert_array_equal(positions, [1.0, 1.0, 1.0, 0.0])
    assert value == pytest.approx(0.03 - 0.012)
    positions, value = perfect_foresight(r, 0.004, np.array([0.0, 1.0]))
    np.testing.assert_array_equal(positions, [1.0, 0.0, 1.0, 0.0])
    assert value == pytest.approx(0.04 - 0.016)


def test_costs_only_lower_the_value() -> None:
    r = np.random.default_rng(3).normal(0.0, 0.01, 500)
    grid = np.linspace(-1.0, 1.0, 5)
    values = [perfect_foresight(r, cost, grid)[1] for cost in (0.0, 0.001, 0.01, 0.1)]
    assert values == sorted(values, reverse=True)
    assert values[0] == pytest.approx(np.abs(r).sum())
    assert values[-1] >= 0.0


def test_holding_returns_follow_the_fill() -> None:
    prices = np.array([[10.0, 0, 0, 11.0, 0], [12.0, 0, 0, 13.0, 0], [15.0, 0, 0, 14.0, 0]])
    np.testing.assert_allclose(
        holding_returns(prices, "next_open"), [np.log(15 / 12), np.log(14 / 15), 0.0]
    )
    np.testing.assert_allclose(
        holding_returns(prices, "close"), [np.log(13 / 11), np.log(14 / 13), 0.0]
    )


def test_refusals() -> None:
    with pytest.raises(DataError, match="return 1 is nan"):
        perfect_foresight(np.array([0.0, np.nan]), 0.0, np.array([0.0, 1.0]))
    with pytest.raises(ConfigError, match="increasing"):
        perfect_foresight(np.zeros(2), 0.0, np.array([1.0, 0.0]))
    with pytest.raises(ConfigError, match="start position"):
        perfect_foresight(np.zeros(2), 0.0, np.array([0.5, 1.0]))
    with pytest.raises(ConfigError, match="cost"):
        perfect_foresight(np.zeros(2), -0.1, np.array([0.0, 1.0]))
