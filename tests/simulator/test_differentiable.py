"""The differentiable twin: the simulator's own equity, and gradients that differences confirm."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from offline_trader.simulator import MarketTensor, Simulator, SimulatorConfig, simulate_actions
from offline_trader.simulator.differentiable import (
    BarPrices,
    BarStep,
    Portfolio,
    advance,
    flat_portfolio,
    observe,
    portfolio,
)
from offline_trader.types import FloatArray

MakeMarket = Callable[..., MarketTensor]

MODES = st.sampled_from(["order", "target_long", "target_long_short"])
RULES = st.builds(
    SimulatorConfig,
    action_mode=MODES,
    fill=st.sampled_from(["next_open", "close"]),
    sizing=st.sampled_from(["pre_fee", "post_fee"]),
    commission_bps=st.floats(0, 50),
    half_spread_bps=st.floats(0, 20),
    slippage_bps=st.floats(0, 20),
    borrow_bps_per_year=st.floats(0, 2_000),
    min_notional=st.sampled_from([0.0, 10.0, 500.0]),
    lot_size=st.sampled_from([0.0, 0.5, 7.0]),
    max_position_pct=st.floats(0.1, 1.0),
    hold_threshold=st.sampled_from([0.0, 0.1, 0.3]),
    rebalance_threshold=st.sampled_from([0.0, 0.1]),
    dust_notional=st.sampled_from([0.0, 1.0, 300.0]),
    smoothing_alpha=st.sampled_from([1.0, 0.4]),
    volume_cap=st.sampled_from([0.0, 0.05]),
    impact_bps=st.sampled_from([0.0, 30.0]),
)
SMOOTH_RULES: dict[str, Any] = {
    "min_notional": 0.0,
    "lot_size": 0.0,
    "hold_threshold": 0.0,
    "rebalance_threshold": 0.0,
    "dust_notional": 0.0,
}


def unroll(
    market: MarketTensor, config: SimulatorConfig, actions: torch.Tensor, first: int = 0
) -> list[BarStep]:
    """The twin over actions [T, N] on the first instrument, from flat portfolios."""
    p = flat_portfolio(config, actions.shape[1])
    table = torch.from_numpy(market.table.copy())
    borrow = float(market.instruments(config.borrow_bps_per_year)[0, 2])
    steps = []
    for t, action in enumerate(actions):
        now, after = table[first + t], table[first + t + 1]
        price = now[1] if config.fill == "close" else after[0]
        numbers = (price, after[1], now[2], torch.tensor(borrow, dtype=torch.float64))
        steps.append(advance(config, p, action, BarPrices(*(x.expand_as(p.cash) for x in numbers))))
        p = steps[-1].portfolio
    return steps


@given(rules=RULES, seed=st.integers(0, 10_000))
@settings(max_examples=40, deadline=None)
def test_equity_and_fills_are_the_simulators(
    rules: SimulatorConfig, seed: int, make_tensor: MakeMarket
) -> None:
    market = make_tensor(60, seed=seed, volatility=0.02)
    rng = np.random.default_rng(seed)
    actions = rng.uniform(-1.3, 1.3, (59, 5))
    actions[:, 0] = np.sign(actions[:, 0])
    actions[:, 1] *= 0.2
    expected = simulate_actions(market, rules, actions)
    steps = unroll(market, rules, torch.from_numpy(actions))
    equity = np.array([step.portfolio.equity.numpy() for step in steps])
    fills = np.array([step.fill_units.numpy() for step in steps])
    assert expected.equity is not None
    assert expected.fills is not None
    # a portfolio that is ruined stands still in the trajectory
    alive = np.arange(59)[:, None] < np.where(expected.ruined_at < 0, 10**9, expected.ruined_at)
    np.testing.assert_allclose(equity[alive], expected.equity[1:][alive], rtol=1e-9)
    np.testing.assert_allclose(fills[alive], expected.fills[alive], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("mode", ["order", "target_long", "target_long_short"])
def test_the_portfolios_observation_and_reward_are_the_simulators(
    mode: Any, make_tensor: MakeMarket
) -> None:
    market = make_tensor(80, seed=3, volatility=0.02)
    rules = SimulatorConfig(action_mode=mode, smoothing_alpha=0.6, rebalance_threshold=0.05)
    rng = np.random.default_rng(4)
    actions = rng.uniform(-1, 1, (78, 6))
    lanes = Simulator(market, rules, 6)
    lanes.reset()
    for row, step in zip(actions, unroll(market, rules, torch.from_numpy(actions)), strict=True):
        result = lanes.step(row)
        seen = observe(step.portfolio).numpy()
        np.testing.assert_allclose(result.rewards, step.log_growth.numpy(), atol=1e-12)
        np.testing.assert_allclose(result.observations[:, -5:], seen, rtol=2e-6, atol=2e-7)


@given(rules=st.builds(lambda r: replace(r, **SMOOTH_RULES), RULES), seed=st.integers(0, 10_000))
@settings(max_examples=40, deadline=None)
def test_gradients_are_central_differences(
    rules: SimulatorConfig, seed: int, make_tensor: MakeMarket
) -> None:
    """Of the log equity at the end, by every action, against the compiled simulator."""
    market = make_tensor(30, seed=seed, volatility=0.02)
    rng = np.random.default_rng(seed)
    actions = rng.uniform(-0.95, 0.95, (10, 1))
    if rules.action_mode == "target_long":
        actions = np.abs(actions)
    actions[0] = np.abs(actions[0]) + 0.02  # from then on there is something to sell
    _check_gradients(market, rules, actions, np.ones(10, dtype=np.bool_))


@given(
    # the smoother carries an action into later orders, whose rules may be flat
    rules=st.builds(lambda r: replace(r, lot_size=0.0, smoothing_alpha=1.0), RULES),
    seed=st.integers(0, 10_000),
)
@settings(max_examples=40, deadline=None)
def test_flat_rules_change_no_gradient_of_orders_that_are_filled_as_asked(
    rules: SimulatorConfig, seed: int, make_tensor: MakeMarket
) -> None:
    """With hold zones, minimum notional and dust: exact at every action that they leave alone."""
    market = make_tensor(30, seed=seed, volatility=0.02)
    actions = np.random.default_rng(seed).uniform(-0.95, 0.95, (10, 1))
    found = simulate_actions(market, rules, actions)
    assert found.fills is not None
    units = np.cumsum(found.fills[:, 0])
    free = (found.fills[:, 0] != 0.0) & (np.abs(units) > 1e-9)
    if rules.action_mode == "target_long":
        free &= actions[:, 0] >= 0.0
    _check_gradients(market, rules, actions, free)


def _check_gradients(
    market: MarketTensor, rules: SimulatorConfig, actions: FloatArray, free: np.ndarray[Any, Any]
) -> None:
    variable = torch.from_numpy(actions.copy()).requires_grad_()
    steps = unroll(market, rules, variable)
    total = torch.stack([step.log_growth for step in steps]).sum()
    if not total.requires_grad:
        return  # nothing was ever filled
    total.backward()  # type: ignore[no-untyped-call]
    assert variable.grad is not None
    ours = variable.grad[:, 0].numpy()
    width = 1e-6
    n = len(actions)
    columns = np.tile(actions, (1, 2 * n + 1))
    columns[np.arange(n), np.arange(n)] += width
    columns[np.arange(n), np.arange(n, 2 * n)] -= width
    found = simulate_actions(market, rules, columns).log_growth
    above, below, here = found[:n], found[n : 2 * n], found[-1]
    # a kink within the step has two slopes: no derivative to compare with
    smooth = np.abs(above + below - 2 * here) < 1e-4 * width * np.maximum(1.0, np.abs(ours))
    keep = free & smooth
    expected = (above - below) / (2 * width)
    np.testing.assert_allclose(ours[keep], expected[keep], rtol=1e-4, atol=1e-6)
    assert np.isfinite(ours).all()


FLAT = {
    "hold zone": ("order", {"hold_threshold": 0.5}, [0.8, 0.3]),
    "rebalance": ("target_long_short", {"rebalance_threshold": 0.5}, [0.8, 0.5]),
    "minimum": ("target_long", {"min_notional": 3_000.0}, [0.8, 0.7]),
    "dust": ("order", {"dust_notional": 3_000.0}, [0.8, -0.9]),
    "lots": ("target_long", {"lot_size": 1.0}, [0.8, 0.5]),
}
NOTHING_TO_SELL: dict[str, Any] = {"order": [0.0, -0.5], "target_long": [0.0, -0.5]}


@pytest.mark.parametrize("name", FLAT)
def test_a_flat_rule_has_the_gradient_of_the_order_asked_for(
    name: str, make_tensor: MakeMarket
) -> None:
    """The simulator does not move; the twin has the slope that it has without the rule."""
    mode, setting, given_actions = FLAT[name]
    market = make_tensor(30, seed=5, volatility=0.02)
    free = replace(SimulatorConfig(action_mode=mode), **SMOOTH_RULES)  # type: ignore[arg-type]
    rules = replace(free, **setting)  # type: ignore[arg-type]
    actions = np.array(given_actions)[:, None]
    nudged = np.tile(actions, (1, 2))
    nudged[1] += [1e-6, -1e-6]
    growth = simulate_actions(market, rules, nudged).log_growth
    assert growth[0] == growth[1]

    variable = torch.from_numpy(actions.copy()).requires_grad_()
    unroll(market, rules, variable)[-1].log_growth.sum().backward()  # type: ignore[no-untyped-call]
    assert variable.grad is not None
    slope = float(variable.grad[1, 0])
    plain = torch.from_numpy(actions.copy()).requires_grad_()
    unroll(market, free, plain)[-1].log_growth.sum().backward()  # type: ignore[no-untyped-call]
    assert plain.grad is not None
    assert slope == pytest.approx(float(plain.grad[1, 0]), rel=0.1)


@pytest.mark.parametrize("mode", NOTHING_TO_SELL)
def test_where_nothing_can_be_sold_the_gradient_is_that_of_a_purchase(
    mode: Any, make_tensor: MakeMarket
) -> None:
    """A rising bar asks a flat portfolio that would sell for more, a falling one for less."""
    rules = replace(SimulatorConfig(action_mode=mode), **SMOOTH_RULES)
    slopes = {}
    for direction in (0.95, 1.05):
        prices = np.full((4, 5), 100.0)
        prices[2:, 3] *= direction
        market = make_tensor(prices=prices)
        variable = torch.tensor(NOTHING_TO_SELL[mode], dtype=torch.float64)[:, None]
        variable.requires_grad_()
        growth = unroll(market, rules, variable)[-1].log_growth.sum()
        assert float(growth.detach()) == 0.0
        growth.backward()  # type: ignore[no-untyped-call]
        assert variable.grad is not None
        slopes[direction] = float(variable.grad[1, 0])
    assert slopes[0.95] == pytest.approx(-0.05, rel=0.1)
    assert slopes[1.05] == pytest.approx(0.05, rel=0.1)


def test_a_held_position_keeps_the_credit_of_the_bars_that_follow(
    make_tensor: MakeMarket,
) -> None:
    """Ten bars in the hold zone: the first order's gradient is still that of differences."""
    market = make_tensor(30, seed=6, volatility=0.02)
    actions = np.zeros((11, 1))
    actions[0] = 0.6
    _check_gradients(market, SimulatorConfig(), actions, np.arange(11) == 0)


def test_given_portfolios_are_what_was_asked_for() -> None:
    close = torch.tensor([50.0, 80.0, 10.0], dtype=torch.float64)
    asked = {
        "exposure": torch.tensor([0.5, -0.7, 0.0], dtype=torch.float64),
        "unrealised": torch.tensor([0.1, -0.2, 0.3], dtype=torch.float64),
        "drawdown": torch.tensor([-0.1, 0.0, -0.3], dtype=torch.float64),
        "smoothed": torch.tensor([0.4, -0.1, 0.2], dtype=torch.float64),
        "held": torch.tensor([3.0, 9.0, 4.0], dtype=torch.float64),
    }
    rules = SimulatorConfig(action_mode="target_long_short", smoothing_alpha=0.5)
    exposure = asked.pop("exposure")
    p: Portfolio = portfolio(rules, exposure, close, **asked)
    seen = observe(p).numpy()
    np.testing.assert_allclose(seen[:, 0], exposure, rtol=1e-12)
    np.testing.assert_allclose(seen[:, 1], [0.1, -0.2, 0.0], atol=1e-12)
    np.testing.assert_allclose(seen[:, 2], np.log1p([3, 9, 0]) / np.log(253), atol=1e-12)
    np.testing.assert_allclose(seen[:, 3], asked["drawdown"], atol=1e-12)
    np.testing.assert_allclose(seen[:, 4], asked["smoothed"], atol=1e-12)
    np.testing.assert_allclose((p.cash + p.units * close).numpy(), 10_000.0, rtol=1e-12)


def test_the_simulator_loads_no_torch() -> None:
    code = "import sys, offline_trader.simulator; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
