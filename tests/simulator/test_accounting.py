"""The kernel against hand-computed trades and against an independent loop, in every mode."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from offline_trader.simulator import MarketTensor, Simulator, SimulatorConfig, simulate_actions
from offline_trader.types import FloatArray

MakeMarket = Callable[..., MarketTensor]
NaiveLoop = Callable[[SimulatorConfig, FloatArray, FloatArray, float], dict[str, FloatArray]]


def flat_market(make_tensor: MakeMarket, opens: list[float], closes: list[float]) -> MarketTensor:
    """A market whose prices are given; volume 1,000."""
    o, c = np.array(opens), np.array(closes)
    volume = np.full(len(o), 1000.0)
    return make_tensor(prices=np.stack([o, np.maximum(o, c), np.minimum(o, c), c, volume], axis=1))


def test_half_of_ten_thousand_buys_for_five_thousand(
    make_tensor: MakeMarket, free: dict[str, Any]
) -> None:
    """The specification's example: 0.5 with 10,000 in cash; -0.8 with 100 units."""
    market = flat_market(make_tensor, [50, 50, 50, 50], [50, 50, 50, 50])
    done = simulate_actions(market, SimulatorConfig(**free), np.array([0.5, -0.8, 0.0]))
    assert done.fills is not None
    np.testing.assert_allclose(done.fills[:, 0], [100.0, -80.0, 0.0], rtol=1e-15)
    np.testing.assert_allclose(done.final_cash, 5_000 + 80 * 50)


def test_costs_of_one_buy_and_one_sale_by_hand(
    make_tensor: MakeMarket, free: dict[str, Any]
) -> None:
    """Spread and slippage move the fill, the commission is on the notional at the fill."""
    market = flat_market(make_tensor, [9, 100, 110, 7], [100, 105, 120, 7])
    rules = free | {"commission_bps": 10.0, "half_spread_bps": 20.0, "slippage_bps": 30.0}
    done = simulate_actions(market, SimulatorConfig(**rules), np.array([0.5, -1.0]))
    cash_1 = 10_000 - 50 * 100.5 - 50 * 100.5 * 0.001
    assert done.equity is not None
    np.testing.assert_allclose(done.equity[1, 0], cash_1 + 50 * 105, rtol=1e-15)
    fill = 110 * (1 - 0.005)
    np.testing.assert_allclose(done.final_cash, cash_1 + 50 * fill * 0.999, rtol=1e-15)
    spent = 50 * 0.5 + 50 * 100.5 * 0.001 + 50 * 0.55 + 50 * fill * 0.001
    np.testing.assert_allclose(done.costs, spent, rtol=1e-12)
    assert (done.orders[0], done.trips[0], done.wins[0]) == (2, 1, 1)


def test_fill_at_close_uses_the_decision_bar(make_tensor: MakeMarket, free: dict[str, Any]) -> None:
    market = flat_market(make_tensor, [1, 80, 1], [100, 110, 121])
    done = simulate_actions(market, SimulatorConfig(fill="close", **free), np.array([1.0, 0.0]))
    assert done.equity is not None
    np.testing.assert_allclose(done.equity[:, 0], [10_000, 11_000, 12_100])


def test_a_short_pays_borrow_cost_at_every_bar(
    make_tensor: MakeMarket, free: dict[str, Any]
) -> None:
    market = flat_market(make_tensor, [100] * 4, [100, 100, 90, 100])
    rules = free | {"borrow_bps_per_year": 252.0, "action_mode": "target_long_short"}
    config = SimulatorConfig(rebalance_threshold=2.0, **rules)
    always = SimulatorConfig(**rules)
    assert simulate_actions(market, config, np.full(3, -0.5)).orders[0] == 0
    done = simulate_actions(market, always, np.array([-0.5]))
    np.testing.assert_allclose(done.final_units, -50.0)
    np.testing.assert_allclose(done.final_equity, 10_000 - 50 * 100 * 1e-4)


@pytest.mark.parametrize("weight", [0.3, 1.0, -0.7])
@pytest.mark.parametrize("held", [0.0, 0.9, -0.4])
def test_post_fee_sizing_reaches_the_weight_after_costs(
    make_tensor: MakeMarket, weight: float, held: float
) -> None:
    """At the fill's reference price, position value = weight · (cash + position value)."""
    market = flat_market(make_tensor, [100, 100, 130, 130], [100, 100, 130, 130])
    config = SimulatorConfig(
        action_mode="target_long_short", sizing="post_fee", commission_bps=20.0,
        half_spread_bps=15.0, borrow_bps_per_year=0.0, min_notional=0.0, dust_notional=0.0,
    )  # fmt: skip
    done = simulate_actions(market, config, np.array([held, weight]))
    value = done.final_units * 130.0
    np.testing.assert_allclose(value, weight * (done.final_cash + value), rtol=1e-9, atol=1e-9)


def test_post_fee_orders_spend_exactly_what_was_asked(make_tensor: MakeMarket) -> None:
    market = flat_market(make_tensor, [100] * 3, [100] * 3)
    config = SimulatorConfig(sizing="post_fee", commission_bps=50.0, slippage_bps=70.0)
    done = simulate_actions(market, config, np.array([0.4]))
    np.testing.assert_allclose(done.final_cash, 6_000.0, rtol=1e-12)


def test_lots_round_towards_zero_and_minimum_notional_blocks(make_tensor: MakeMarket) -> None:
    market = flat_market(make_tensor, [99.0] * 4, [99.0] * 4)
    lots = SimulatorConfig(lot_size=10.0)
    done = simulate_actions(market, lots, np.array([0.5, -0.55]))
    assert done.fills is not None
    assert done.fills[:, 0].tolist() == [50.0, -20.0]
    small = replace(lots, lot_size=0.0, min_notional=6_000.0)
    assert simulate_actions(market, small, np.array([0.5])).orders[0] == 0


def test_dust_is_closed_with_the_order(make_tensor: MakeMarket) -> None:
    """0.5 ** k of a position is never zero; with dust_notional it is closed in the end."""
    market = flat_market(make_tensor, [100.0] * 40, [100.0] * 40)
    actions = np.array([1.0] + [-0.5] * 38)
    config = SimulatorConfig(min_notional=0.0, dust_notional=1.0)
    done = simulate_actions(market, config, actions)
    assert done.final_units[0] == 0.0
    assert done.trips[0] == 1
    kept = simulate_actions(market, replace(config, dust_notional=0.0), actions)
    assert kept.final_units[0] > 0.0
    # A position below the minimum notional can still be closed as a whole.
    stuck = replace(config, dust_notional=0.0, min_notional=1_000.0)
    done = simulate_actions(market, stuck, np.array([0.1005, -0.5, -1.0]))
    assert done.orders[0] == 2
    assert done.final_units[0] == 0.0


def test_what_rounding_leaves_of_a_position_is_closed(make_tensor: MakeMarket) -> None:
    """Three buys and three sales of .1 units each leave 2.8e-17 units, which are no position."""
    prices = np.full((8, 5), 100.0)
    prices[:, 4] = 10.0
    config = SimulatorConfig(
        volume_cap=0.01, min_notional=0.0, dust_notional=0.0, half_spread_bps=0.0
    )
    actions = np.array([1.0] * 3 + [-1.0] * 3)
    done = simulate_actions(make_tensor(prices=prices), config, actions)
    assert done.fills is not None
    np.testing.assert_allclose(done.fills[:, 0], [0.1] * 3 + [-0.1] * 3, rtol=1e-12)
    assert done.final_units[0] == 0.0
    assert done.trips[0] == 1


def test_volume_cap_and_impact(make_tensor: MakeMarket, free: dict[str, Any]) -> None:
    market = flat_market(make_tensor, [10.0] * 3, [10.0] * 3)
    capped = simulate_actions(market, SimulatorConfig(volume_cap=0.05, **free), np.array([1.0]))
    assert capped.final_units[0] == 50.0
    moved = simulate_actions(
        market, SimulatorConfig(volume_cap=0.25, impact_bps=100.0, **free), np.array([1.0])
    )
    assert moved.fill_prices is not None
    np.testing.assert_allclose(moved.fill_prices[0, 0], 10.0 * (1 + 0.01 * np.sqrt(0.25)))


def test_a_bar_without_volume_fills_nothing_when_fills_depend_on_volume(
    make_tensor: MakeMarket,
) -> None:
    prices = np.full((4, 5), 10.0)
    prices[:, 4] = [0.0, 100.0, 100.0, 100.0]
    market = make_tensor(prices=prices)
    done = simulate_actions(market, SimulatorConfig(impact_bps=1.0), np.array([1.0, 1.0]))
    assert done.fills is not None
    assert done.fills[0, 0] == 0.0
    assert done.fills[1, 0] > 0.0


def test_ruin_terminates_and_is_never_a_truncation(make_tensor: MakeMarket) -> None:
    market = flat_market(make_tensor, [100, 100, 100, 100], [100, 100, 4, 100])
    simulator = Simulator(market, SimulatorConfig(), 1, random_start=False, auto_reset=False)
    simulator.reset()
    first = simulator.step(np.array([1.0]))
    assert not first.terminated[0]
    second = simulator.step(np.array([0.0]))
    assert second.terminated[0]
    assert not second.truncated[0]
    done = simulate_actions(market, SimulatorConfig(), np.array([1.0, 0.0, 0.0]))
    assert done.ruined_at[0] == 2
    assert done.equity is not None
    assert done.equity[3, 0] == done.equity[2, 0]
    assert done.bars[0] == 2


def test_debt_after_a_gap_is_rewarded_as_a_fall_to_one_millionth(make_tensor: MakeMarket) -> None:
    market = flat_market(make_tensor, [100, 100, 100], [100, 100, 500])
    config = SimulatorConfig(action_mode="target_long_short")
    simulator = Simulator(market, config, 1, random_start=False, auto_reset=False)
    simulator.reset()
    simulator.step(np.array([-1.0]))
    result = simulator.step(np.array([-1.0]))
    assert result.terminated[0]
    assert simulator.equity[0] < 0.0
    np.testing.assert_allclose(result.rewards[0], np.log(1e-6))


MODES = [
    {"action_mode": mode, "fill": fill, "sizing": sizing}
    for mode in ("order", "target_long", "target_long_short")
    for fill in ("next_open", "close")
    for sizing in ("pre_fee", "post_fee")
]
LIMITS: list[dict[str, Any]] = [
    {},
    {"lot_size": 1.0},
    {"smoothing_alpha": 0.4},
    {"volume_cap": 0.02, "impact_bps": 30.0},
    {"max_position_pct": 0.6, "min_notional": 250.0, "dust_notional": 400.0},
    {"hold_threshold": 0.3, "rebalance_threshold": 0.15, "commission_bps": 40.0},
]


@pytest.mark.parametrize("limits", LIMITS, ids=["plain", *(next(iter(x)) for x in LIMITS[1:])])
@pytest.mark.parametrize("mode", MODES, ids=["-".join(map(str, m.values())) for m in MODES])
def test_every_mode_equals_the_independent_loop(
    mode: dict[str, Any],
    limits: dict[str, Any],
    make_tensor: MakeMarket,
    naive_loop: NaiveLoop,
) -> None:
    market = make_tensor(200, seed=3, volatility=0.02)
    config = SimulatorConfig(**mode, **limits)
    actions = np.random.default_rng(5).uniform(-1.2, 1.2, 199)
    compare(market, config, actions, naive_loop)


@settings(max_examples=150, deadline=None)
@example(  # the volume cap is the short position but for rounding
    mode={"action_mode": "target_long_short", "fill": "next_open", "sizing": "pre_fee"},
    seed=7772, commission=0.0, spread=0.0, borrow=0.0, lot=0.0, share=1.0, alpha=1.0, cap=0.01,
    impact=0.0, minimum=500.0, dust=0.0,
)  # fmt: skip
@example(  # an order of the minimum notional but for rounding
    mode={"action_mode": "order", "fill": "close", "sizing": "pre_fee"},
    seed=3_434_535_706, commission=0.0, spread=0.0, borrow=0.0, lot=0.0, share=0.5, alpha=1.0,
    cap=0.01, impact=0.0, minimum=500.0, dust=0.0,
)  # fmt: skip
@given(
    mode=st.sampled_from(MODES),
    seed=st.integers(0, 2**32 - 1),
    commission=st.sampled_from([0.0, 1.0, 75.0]),
    spread=st.floats(0.0, 50.0),
    borrow=st.sampled_from([0.0, 500.0]),
    lot=st.sampled_from([0.0, 1.0, 7.0]),
    share=st.sampled_from([1.0, 0.5]),
    alpha=st.sampled_from([1.0, 0.3]),
    cap=st.sampled_from([0.0, 0.01, 0.3]),
    impact=st.sampled_from([0.0, 20.0]),
    minimum=st.sampled_from([0.0, 10.0, 500.0]),
    dust=st.sampled_from([0.0, 1.0, 100.0]),
)
def test_any_rules_equal_the_independent_loop(
    mode: dict[str, Any], seed: int, commission: float, spread: float, borrow: float, lot: float,
    share: float, alpha: float, cap: float, impact: float, minimum: float, dust: float,
    make_tensor: MakeMarket, naive_loop: NaiveLoop,
) -> None:  # fmt: skip
    config = SimulatorConfig(
        **mode, commission_bps=commission, half_spread_bps=spread, borrow_bps_per_year=borrow,
        lot_size=lot, max_position_pct=share, smoothing_alpha=alpha, volume_cap=cap,
        impact_bps=impact, min_notional=minimum, dust_notional=dust,
    )  # fmt: skip
    market = make_tensor(60, seed=seed % 1000, volatility=0.03)
    rng = np.random.default_rng(seed)
    actions = rng.choice([-1.0, -0.5, 0.0, 0.05, 0.1, 0.7, 1.0, np.nan], 59)
    actions = np.where(np.isnan(actions), rng.uniform(-1, 1, 59), actions)
    compare(market, config, actions, naive_loop)


def compare(
    market: MarketTensor, config: SimulatorConfig, actions: FloatArray, naive_loop: NaiveLoop
) -> None:
    """The step kernel and the column kernel against the loop: equity, cash, units, fills, costs."""
    wanted = naive_loop(config, market.prices, actions, float(market.periods_per_year[0]))
    n = len(wanted["equity"])
    columns = simulate_actions(market, config, actions)
    assert columns.equity is not None
    assert columns.fills is not None
    np.testing.assert_allclose(columns.equity[1 : n + 1, 0], wanted["equity"], rtol=1e-9)
    np.testing.assert_allclose(columns.fills[:n, 0], wanted["fills"], rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(columns.costs[0], wanted["costs"][-1], rtol=1e-9)
    simulator = Simulator(market, config, 1, random_start=False, auto_reset=False)
    simulator.reset()
    rewards, cash, units = np.empty(n), np.empty(n), np.empty(n)
    for t in range(n):
        rewards[t] = simulator.step(actions[t : t + 1]).rewards[0]
        cash[t], units[t] = simulator.cash[0], simulator.units[0]
    scale = config.initial_cash
    np.testing.assert_allclose(cash / scale, wanted["cash"] / scale, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(units, wanted["units"], rtol=1e-7, atol=1e-9)
    path = np.concatenate([[config.initial_cash], wanted["equity"]])
    np.testing.assert_allclose(rewards, np.diff(np.log(path)), rtol=1e-7, atol=1e-12)
