"""A portfolio put at a bar goes on as the one that came there by trading."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from offline_trader.errors import ConfigError
from offline_trader.simulator import MarketTensor, Simulator, SimulatorConfig
from offline_trader.simulator import kernel as k

MakeMarket = Callable[..., MarketTensor]
MODES = ("order", "target_long", "target_long_short")
RULES: tuple[dict[str, Any], ...] = (
    {},
    {"smoothing_alpha": 0.4, "fill": "close", "sizing": "post_fee"},
    {"lot_size": 1.0, "volume_cap": 0.1, "commission_bps": 20.0, "borrow_bps_per_year": 900.0},
)


def traded(market: MarketTensor, rules: SimulatorConfig, n: int = 96) -> Simulator:
    """Lanes after 15 bars of random trading, a fifth of them flat."""
    simulator = Simulator(
        market, rules, n, episode_bars=100, random_start=True, auto_reset=False, seed=3
    )
    simulator.reset()
    rng = np.random.default_rng(1)
    for _ in range(15):
        simulator.step(np.where(np.arange(n) % 5 == 0, 0.0, rng.uniform(-1, 1, n)))
    return simulator


def shown(simulator: Simulator) -> np.ndarray:
    """[N, 5] the portfolio's columns in double precision."""
    close = simulator.market.table[simulator.bar_index, 1]
    units, entry = simulator.units, simulator.entry_price
    gain = np.log(close / np.where(units == 0.0, close, entry)) * np.sign(units)
    held = np.log1p(simulator.bars_held) / np.log(253.0)
    smoothed = simulator._now(k.SMOOTHED)
    return np.stack([simulator.weight, gain, held, simulator.drawdown, smoothed], axis=1)


@pytest.mark.parametrize("changed", RULES)
@pytest.mark.parametrize("mode", MODES)
def test_it_goes_on_as_the_portfolio_that_it_shows(
    mode: Any, changed: dict[str, Any], make_tensor: MakeMarket
) -> None:
    market, rules = make_tensor(300, instruments=2), SimulatorConfig(action_mode=mode, **changed)
    original = traded(market, rules)
    placed = Simulator(market, rules, original.n_lanes, auto_reset=False)
    seen = placed.place(original.bar_index, shown(original), original.equity)
    np.testing.assert_allclose(seen, original.observations, atol=1e-6)
    rng = np.random.default_rng(2)
    for _ in range(3):
        actions = rng.uniform(-1, 1, original.n_lanes)
        expected, found = original.step(actions), placed.step(actions)
        np.testing.assert_allclose(found.rewards, expected.rewards, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(found.observations, expected.observations, atol=1e-6)
        for name in ("equity", "cash", "units", "weight", "entry_price", "drawdown"):
            one, other = getattr(placed, name), getattr(original, name)
            np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-9, err_msg=name)
        np.testing.assert_array_equal(placed.bars_held, original.bars_held)


def test_the_last_bar_truncates_and_ruin_terminates(make_tensor: MakeMarket) -> None:
    market, rules = make_tensor(50), SimulatorConfig(action_mode="target_long")
    lanes = Simulator(market, rules, 3, auto_reset=False)
    lanes.place(np.array([48, 20, 20]), np.zeros((3, 5)), np.array([1e4, 1e4, 400.0]))
    result = lanes.step(np.zeros(3))
    assert result.truncated.tolist() == [True, False, False]
    assert result.terminated.tolist() == [False, False, True]  # 400 is below 5 % of 10,000


@pytest.mark.parametrize(
    ("rows", "exposure", "equity"), [(49, 0.0, 1e4), (-1, 0.0, 1e4), (3, -0.5, 1e4), (3, 0.5, 0.0)]
)
def test_what_cannot_be_is_refused(
    rows: int, exposure: float, equity: float, make_tensor: MakeMarket
) -> None:
    lanes = Simulator(make_tensor(50), SimulatorConfig(), 1)
    seen = np.array([[exposure, 0.0, 0.0, 0.0, 0.0]])
    with pytest.raises(ConfigError):
        lanes.place(np.array([rows]), seen, np.array([equity]))
