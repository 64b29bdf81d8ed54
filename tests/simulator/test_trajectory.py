"""Columns of actions in one call: the same as stepping, with statistics that add up."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from offline_trader.errors import ConfigError
from offline_trader.simulator import MarketTensor, Simulator, SimulatorConfig, simulate_actions

MakeMarket = Callable[..., MarketTensor]


@pytest.mark.parametrize("mode", ["order", "target_long", "target_long_short"])
def test_columns_equal_lanes_bit_for_bit(mode: str, market: MarketTensor) -> None:
    config = SimulatorConfig(action_mode=mode)  # type: ignore[arg-type]
    actions = np.random.default_rng(0).uniform(-1, 1, (299, 17))
    columns = simulate_actions(market, config, actions)
    lanes = Simulator(market, config, 17, random_start=False, auto_reset=False)
    lanes.reset()
    assert columns.equity is not None
    for t in range(299):
        lanes.step(actions[t])
        assert (lanes.equity == columns.equity[t + 1]).all()
    assert (lanes.costs_paid == columns.costs).all()
    assert (lanes.units == columns.final_units).all()


def test_statistics_equal_those_of_the_recorded_path(market: MarketTensor) -> None:
    config = SimulatorConfig(action_mode="target_long_short")
    rng = np.random.default_rng(1)
    actions = np.repeat(rng.choice([-0.6, 0.0, 0.4, 0.9], (60, 9)), 5, axis=0)[:299]
    done = simulate_actions(market, config, actions)
    assert done.equity is not None
    assert done.fills is not None
    assert done.fill_prices is not None
    growth = np.diff(np.log(done.equity), axis=0)
    np.testing.assert_allclose(done.log_growth, growth.sum(axis=0), rtol=1e-9)
    np.testing.assert_allclose(done.log_growth_squared, (growth**2).sum(axis=0), rtol=1e-9)
    peak = np.maximum.accumulate(done.equity, axis=0)
    np.testing.assert_allclose(done.max_drawdown, (done.equity / peak - 1).min(axis=0), rtol=1e-9)
    assert (done.orders == (done.fills != 0.0).sum(axis=0)).all()
    traded = (np.abs(done.fills) * done.fill_prices).sum(axis=0)
    np.testing.assert_allclose(done.notional, traded, rtol=1e-9)
    units = np.cumsum(done.fills, axis=0)
    units[np.abs(units) < 1e-9] = 0.0
    held = units * market.prices[1:, 3:4]
    exposure = np.abs(held / done.equity[1:]).mean(axis=0)
    np.testing.assert_allclose(done.mean_exposure, exposure, rtol=1e-6)
    assert (done.bars_held == (units != 0.0).sum(axis=0)).all()
    assert (done.bars == 299).all()
    for column in range(9):
        count, wins, bars = trips(units[:, column], done.fills[:, column])
        assert done.trips[column] == count
        assert done.trip_bars[column] == bars
        assert done.wins[column] <= wins


def trips(units: np.ndarray, fills: np.ndarray) -> tuple[int, int, int]:
    """Closed round trips, an upper bound of the wins, and their bars, from the positions."""
    count = bars = opened = 0
    sign = 0.0
    for t, (now, fill) in enumerate(zip(np.sign(units), fills, strict=True)):
        if fill != 0.0 and now != sign:
            if sign != 0.0:
                count, bars = count + 1, bars + t - opened
            opened = t
            sign = now
    return count, count, bars


def test_wins_are_trips_that_end_with_more_cash_than_they_began(make_tensor: MakeMarket) -> None:
    """Four trips, costs in: +10 %, +0.01 % (eaten by costs), -5 %, and a short that gains."""
    opens = np.array([100.0, 100, 110, 110, 110.011, 100, 95, 100, 100, 90])
    prices = np.stack([opens, opens, opens, opens, np.full(10, 1e6)], axis=1)
    market = make_tensor(prices=prices)
    config = SimulatorConfig(action_mode="target_long_short", min_notional=0.0)
    actions = np.array([1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0, -1.0, 0.0])
    done = simulate_actions(market, config, actions)
    assert (done.trips[0], done.wins[0], done.orders[0]) == (4, 2, 8)
    reversal = simulate_actions(market, config, np.array([1.0, -1.0, 0.0]))
    assert reversal.trips[0] == 2


def test_summaries_do_not_depend_on_what_is_recorded(market: MarketTensor) -> None:
    actions = np.random.default_rng(2).uniform(-1, 1, (299, 3))
    full = simulate_actions(market, SimulatorConfig(), actions)
    bare = simulate_actions(market, SimulatorConfig(), actions, record=False)
    assert bare.equity is None
    assert bare.fills is None
    assert (bare.final_equity == full.final_equity).all()
    assert (bare.log_growth == full.log_growth).all()


def test_a_later_first_bar_and_another_instrument(make_tensor: MakeMarket) -> None:
    market = make_tensor(100, instruments=3)
    actions = np.random.default_rng(4).uniform(-1, 1, 20)
    part = simulate_actions(market, SimulatorConfig(), actions, instrument=2, first=50)
    alone = simulate_actions(make_tensor(prices=market.prices[250:271]), SimulatorConfig(), actions)
    assert part.equity is not None
    assert alone.equity is not None
    assert (part.equity == alone.equity).all()


def test_refusals_name_what_was_found(market: MarketTensor) -> None:
    with pytest.raises(ConfigError, match="300 rows of actions"):
        simulate_actions(market, SimulatorConfig(), np.zeros(300))
    bad = np.zeros((5, 3))
    bad[2, 1] = np.nan
    with pytest.raises(ConfigError, match="row 2, column 1"):
        simulate_actions(market, SimulatorConfig(), bad)
