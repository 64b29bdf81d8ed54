"""What must hold for any market, rules and actions."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offline_trader.simulator import MarketTensor, Simulator, SimulatorConfig, simulate_actions
from offline_trader.types import FloatArray

MakeMarket = Callable[..., MarketTensor]

RULES: dict[str, SimulatorConfig] = {
    "order": SimulatorConfig(),
    "order-close-smooth": SimulatorConfig(fill="close", smoothing_alpha=0.3),
    "order-volume": SimulatorConfig(volume_cap=0.02, impact_bps=20.0, lot_size=0.5),
    "long": SimulatorConfig(action_mode="target_long", sizing="post_fee"),
    "short": SimulatorConfig(action_mode="target_long_short", rebalance_threshold=0.05),
}


def roll(simulator: Simulator, actions: FloatArray) -> dict[str, FloatArray]:
    """Everything that T steps of actions [T, N] show, from a reset; [T, N, …] each."""
    seen: dict[str, list[Any]] = {"observations": [simulator.reset().copy()]}
    for row in actions:
        result = simulator.step(row)
        seen["observations"].append(result.observations.copy())
        for name, values in {
            "rewards": result.rewards,
            "terminated": result.terminated,
            "truncated": result.truncated,
            "final": simulator.final_observations,
            "row": simulator.bar_index,
            **simulator.outcome(),
        }.items():
            seen.setdefault(name, []).append(values.copy())
    return {name: np.array(values) for name, values in seen.items()}


def same_bits(a: FloatArray, b: FloatArray) -> bool:
    """Whether two arrays hold the same bytes."""
    return np.ascontiguousarray(a).tobytes() == np.ascontiguousarray(b).tobytes()


@pytest.mark.parametrize("name", RULES)
def test_nothing_up_to_t_changes_when_later_bars_change(name: str, make_tensor: MakeMarket) -> None:
    """Bit for bit: observations, fills, rewards and portfolios up to t, for 8 choices of t."""
    market = make_tensor(120, seed=1)
    rng = np.random.default_rng(2)
    actions = rng.uniform(-1, 1, (119, 3))
    before = roll(Simulator(market, RULES[name], 3), actions)
    for t in rng.integers(1, 118, 8):
        prices, features = market.prices.copy(), market.features.copy()
        prices[t + 1 :] *= rng.uniform(0.5, 2.0, (119 - t, 1))
        features[t + 1 :] = rng.normal(size=features[t + 1 :].shape)
        changed = replace(market, prices=prices, features=features)
        after = roll(Simulator(changed, RULES[name], 3), actions)
        for key, values in before.items():
            last = t + 1 if key == "observations" else t
            assert same_bits(values[:last], after[key][:last]), key
        assert not same_bits(before["observations"], after["observations"])


@settings(max_examples=40, deadline=None)
@given(name=st.sampled_from(sorted(RULES)), seed=st.integers(0, 10_000))
def test_equity_is_cash_plus_units_at_the_close(
    name: str, seed: int, make_tensor: MakeMarket
) -> None:
    market = make_tensor(150, seed=seed % 7, volatility=0.03)
    actions = np.random.default_rng(seed).uniform(-1, 1, (149, 4))
    seen = roll(Simulator(market, RULES[name], 4, auto_reset=True), actions)
    live = ~np.logical_or.accumulate(seen["terminated"], axis=0)
    equity = seen["cash"] + seen["units"] * market.prices[1:, 3:4]
    np.testing.assert_allclose(seen["equity"][live], equity[live], rtol=1e-9)
    assert (seen["cash"] >= 0.0).all()
    if name != "short":
        assert (seen["units"] >= 0.0).all()
    profit = seen["realised_profit"] + seen["unrealised_profit"]
    np.testing.assert_allclose(profit, seen["equity"] - 10_000.0, rtol=0, atol=1e-6)
    assert (seen["drawdown"] <= 0.0).all()
    growth = np.exp(np.cumsum(seen["rewards"], axis=0)[live])
    np.testing.assert_allclose(growth, 1.0 + seen["cumulative_return"][live], rtol=1e-9)


@settings(max_examples=40, deadline=None)
@given(
    name=st.sampled_from(["order", "order-close-smooth", "long", "short"]),
    seed=st.integers(0, 10_000),
    rate=st.sampled_from(["commission_bps", "half_spread_bps", "slippage_bps"]),
)
def test_a_higher_cost_never_gives_more_profit_to_the_same_trades(
    name: str, seed: int, rate: str, make_tensor: MakeMarket
) -> None:
    """The same units are traded; only what they cost changes."""
    market = make_tensor(80, seed=seed % 11, volatility=0.02)
    rules = replace(RULES[name], rebalance_threshold=0.0, min_notional=0.0, dust_notional=0.0)
    actions = 0.5 * np.random.default_rng(seed).uniform(-1, 1, 79)
    trades = simulate_actions(market, rules, actions)
    assert trades.fills is not None
    price = market.prices[1:, 0] if rules.fill == "next_open" else market.prices[:-1, 3]
    last = np.inf
    for cost in (0.0, 1.0, 5.0, 50.0, 200.0):
        config = replace(rules, **{rate: cost})  # type: ignore[arg-type]
        friction = (config.half_spread_bps + config.slippage_bps) * 1e-4
        units = trades.fills[:, 0]
        fill = price * (1.0 + friction * np.sign(units))
        cash = -units * fill - np.abs(units) * fill * config.commission_bps * 1e-4
        profit = float(cash.sum() + units.sum() * market.prices[-1, 3])
        assert profit <= last + 1e-9
        last = profit
        if cost == getattr(rules, rate):
            borrow = trades.costs[0] - spent(trades, rules, price)
            np.testing.assert_allclose(
                profit - borrow, trades.final_equity[0] - 10_000.0, rtol=0, atol=1e-6
            )


def spent(trades: Any, rules: SimulatorConfig, price: FloatArray) -> float:
    """Commission and friction of recorded trades."""
    units, fill = trades.fills[:, 0], trades.fill_prices[:, 0]
    moved = np.abs(units) * np.where(units != 0.0, np.abs(fill - price), 0.0)
    return float((moved + np.abs(units) * fill * rules.commission_bps * 1e-4).sum())


@pytest.mark.parametrize("name", RULES)
def test_more_costs_leave_less_equity_for_the_same_round_trip(
    name: str, make_tensor: MakeMarket
) -> None:
    """Through the kernel itself: in, hold, out; each rate alone makes it worse."""
    market = make_tensor(40, seed=9)
    actions = np.zeros(39)
    actions[[2, 20]] = [0.8, -1.0]
    if RULES[name].action_mode != "order":
        actions[:] = np.where((np.arange(39) >= 2) & (np.arange(39) < 20), 0.8, 0.0)
    for rate in ("commission_bps", "half_spread_bps", "slippage_bps"):
        equity = []
        for cost in (0.0, 2.0, 10.0, 60.0):
            rules: dict[str, Any] = {rate: cost}
            done = simulate_actions(market, replace(RULES[name], **rules), actions)
            equity.append(float(done.final_equity[0]))
        assert equity == sorted(equity, reverse=True)
        assert equity[0] > equity[-1]


@pytest.mark.parametrize("instruments", [1, 3])
def test_the_number_of_lanes_changes_no_lane(instruments: int, make_tensor: MakeMarket) -> None:
    market = make_tensor(200, seed=4, instruments=instruments)
    actions = np.random.default_rng(0).uniform(-1, 1, (300, 37))
    wide = roll(Simulator(market, SimulatorConfig(), 37, episode_bars=50, seed=9), actions)
    narrow = roll(Simulator(market, SimulatorConfig(), 5, episode_bars=50, seed=9), actions[:, :5])
    for key, values in wide.items():
        assert same_bits(values[:, :5], narrow[key]), key


SCRIPT = """
import hashlib, numpy as np
from offline_trader.envs import EnvConfig, make_simulator
simulator = make_simulator(EnvConfig(market=("sp500", "nasdaq"), episode_bars=60), 16, seed=5)
digest = hashlib.sha256(simulator.reset().tobytes())
for row in np.random.default_rng(1).uniform(-1, 1, (200, 16)):
    result = simulator.step(row)
    digest.update(result.observations.tobytes() + result.rewards.tobytes())
print(digest.hexdigest())
"""


def test_the_same_seed_gives_the_same_bytes_in_a_new_process() -> None:
    found = [
        subprocess.run(
            [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True
        ).stdout.strip()
        for _ in range(2)
    ]
    assert found[0] == found[1]
    assert len(found[0]) == hashlib.sha256().digest_size * 2


def test_seeds_move_the_starts_and_a_reset_goes_on_to_the_next_episode(
    make_tensor: MakeMarket,
) -> None:
    simulator = Simulator(
        make_tensor(500), SimulatorConfig(), 64, episode_bars=20, seed=1, random_start=True
    )
    simulator.reset()
    first = simulator.bar_index
    simulator.reset()
    second = simulator.bar_index
    simulator.reset(seed=1)
    assert (simulator.bar_index == first).all()
    simulator.reset(seed=2)
    assert (simulator.bar_index != first).mean() > 0.9
    assert (second != first).mean() > 0.9
    # Uniform over 480 possible starts: the mean of 64 draws is within five standard errors.
    assert abs(first.mean() - 239.5) < 5 * 480 / np.sqrt(12 * 64)
    assert first.min() >= 0
    assert first.max() <= 479


@pytest.mark.parametrize("alpha", [0.2, 0.5, 0.8])
def test_smoothing_lowers_the_variance_of_random_actions(
    alpha: float, make_tensor: MakeMarket
) -> None:
    """The ratio is alpha / (2 - alpha), under 0.7 for alpha below 0.8235."""
    market = make_tensor(2_001)
    actions = np.random.default_rng(3).uniform(-1, 1, (2_000, 1))
    simulator = Simulator(market, SimulatorConfig(smoothing_alpha=alpha), 1, random_start=False)
    executed = roll(simulator, actions)["observations"][1:-1, 0, -1]
    ratio = executed.var() / actions.var()
    assert ratio < 0.7
    np.testing.assert_allclose(ratio, alpha / (2 - alpha), rtol=0.15)
    s = 0.0
    for action, seen in zip(actions[:-1, 0], executed, strict=True):
        s = alpha * action + (1 - alpha) * s
        assert abs(s - seen) < 1e-6


def test_a_hundred_random_actions_are_interpreted_as_specified(market: MarketTensor) -> None:
    """Hold zone, share of cash, share of units, clipping; without costs, so to the unit."""
    config = SimulatorConfig(
        commission_bps=0.0, half_spread_bps=0.0, slippage_bps=0.0, dust_notional=0.0,
        min_notional=0.0, max_position_pct=0.9,
    )  # fmt: skip
    simulator = Simulator(market, config, 1, random_start=False)
    simulator.reset()
    seen = set()
    for action in np.random.default_rng(8).uniform(-1.3, 1.3, 100).astype(np.float32):
        cash, units = simulator.cash[0], simulator.units[0]
        open_ = market.prices[simulator.bar_index[0] + 1, 0]
        simulator.step(np.array([[action]]))
        a = float(np.clip(action, -1, 1))
        if abs(a) < 0.1:
            wanted, kind = 0.0, "hold"
        elif a > 0:
            wanted, kind = a * cash * 0.9 / open_, "buy"
        else:
            wanted, kind = a * units, "sell" if units else "nothing to sell"
        np.testing.assert_allclose(simulator.fills[0], wanted, rtol=1e-12, atol=1e-12)
        seen.add(kind)
    assert seen == {"hold", "buy", "sell"} or seen == {"hold", "buy", "sell", "nothing to sell"}


def test_exactly_one_rule_applies_at_the_edge_of_the_hold_zone(market: MarketTensor) -> None:
    edge = simulate_actions(market, SimulatorConfig(), np.array([[0.1, np.nextafter(0.1, 0)]]))
    assert edge.orders.tolist() == [1, 0]


def test_episodes_of_a_thousand_steps(make_tensor: MakeMarket) -> None:
    market = make_tensor(3_000)
    simulator = Simulator(market, SimulatorConfig(), 8, episode_bars=1_000, random_start=True)
    simulator.reset()
    ends = []
    for t in range(2_000):
        result = simulator.step(np.zeros(8))
        assert not result.terminated.any()
        if result.truncated.any():
            assert result.truncated.all()
            ends.append(t + 1)
    assert ends == [1_000, 2_000]


def test_an_episode_ends_with_its_data_and_the_next_begins_at_once(
    make_tensor: MakeMarket,
) -> None:
    market = make_tensor(10)
    simulator = Simulator(market, SimulatorConfig(), 2, random_start=False)
    first = simulator.reset().copy()
    for _ in range(8):
        assert not simulator.step(np.array([0.5, 0.0])).truncated.any()
    last = simulator.step(np.array([0.5, 0.0]))
    assert last.truncated.all()
    assert (last.observations == first).all()
    assert (simulator.final_observations[:, :4] == market.features[9]).all()
    assert simulator.outcome()["units"][0] > 0.0
    assert simulator.units[0] == 0.0
    assert simulator.episode.tolist() == [1, 1]


def test_state_can_be_put_back(make_tensor: MakeMarket) -> None:
    market = make_tensor(200)
    actions = np.random.default_rng(1).uniform(-1, 1, (60, 4))
    simulator = Simulator(market, SimulatorConfig(), 4, episode_bars=25, random_start=True)
    roll(simulator, actions[:30])
    kept = simulator.state_dict()
    rest = [simulator.step(row).observations.copy() for row in actions[30:]]
    other = Simulator(market, SimulatorConfig(), 4, episode_bars=25, random_start=True, seed=77)
    other.load_state_dict(kept)
    again = [other.step(row).observations.copy() for row in actions[30:]]
    assert same_bits(np.array(rest), np.array(again))
