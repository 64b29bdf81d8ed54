"""The account without a compiler gives the kernel's bits, and says why an action fills nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offline_trader.serving import account
from offline_trader.serving.account import Hold, Portfolio
from offline_trader.simulator import MarketTensor, Simulator, SimulatorConfig
from offline_trader.simulator import kernel as k
from offline_trader.simulator.config import Terms
from offline_trader.types import FloatArray, ObservationLayout

FIELDS = {
    "cash": k.CASH, "units": k.UNITS, "equity": k.EQUITY, "peak": k.PEAK, "entry": k.ENTRY,
    "exposure": k.EXPOSURE, "smoothed": k.SMOOTHED, "bars_held": k.HELD, "costs": k.COSTS,
}  # fmt: skip


def market_of(prices: FloatArray, periods: float) -> MarketTensor:
    n = len(prices)
    return MarketTensor(
        prices=prices,
        features=np.zeros((n, 1), dtype=np.float32),
        start=np.array([0]),
        stop=np.array([n]),
        periods_per_year=np.array([periods]),
        symbols=("X",),
        timestamps=np.datetime64("2000-01-01", "ns") + np.arange(n) * np.timedelta64(1, "D"),
        layout=ObservationLayout(("f",), "test"),
    )


def random_prices(rng: np.random.Generator, n: int, volatility: float, silent: float) -> FloatArray:
    close = 100.0 * np.exp(np.cumsum(rng.normal(0.0, volatility, n)))
    open_ = close * np.exp(rng.normal(0.0, volatility / 2, n))
    volume = np.where(rng.random(n) < silent, 0.0, np.round(rng.uniform(50.0, 500.0, n)))
    volume[0] = 100.0
    return np.stack(
        [open_, np.maximum(open_, close), np.minimum(open_, close), close, volume], axis=1
    )


rules = st.builds(
    SimulatorConfig,
    action_mode=st.sampled_from(["order", "target_long", "target_long_short"]),
    fill=st.sampled_from(["next_open", "close"]),
    sizing=st.sampled_from(["pre_fee", "post_fee"]),
    commission_bps=st.sampled_from([0.0, 1.0, 50.0]),
    half_spread_bps=st.sampled_from([0.0, 5.0]),
    slippage_bps=st.sampled_from([0.0, 300.0]),
    borrow_bps_per_year=st.sampled_from([0.0, 100.0, 5_000.0]),
    min_notional=st.sampled_from([0.0, 10.0, 3_000.0]),
    lot_size=st.sampled_from([0.0, 0.5, 10.0]),
    max_position_pct=st.sampled_from([1.0, 0.4]),
    hold_threshold=st.sampled_from([0.0, 0.1, 0.5]),
    rebalance_threshold=st.sampled_from([0.0, 0.2]),
    dust_notional=st.sampled_from([0.0, 1.0, 800.0]),
    smoothing_alpha=st.sampled_from([1.0, 0.3]),
    volume_cap=st.sampled_from([0.0, 0.05]),
    impact_bps=st.sampled_from([0.0, 40.0]),
    ruin_fraction=st.sampled_from([0.0, 0.05, 0.9]),
)


@settings(max_examples=150, deadline=None)
@given(
    config=rules,
    seed=st.integers(0, 2**32),
    volatility=st.sampled_from([0.0, 0.01, 0.2]),
    silent=st.sampled_from([0.0, 0.3]),
    mood=st.sampled_from(["any", "ends", "small"]),
)
def test_every_rule_gives_the_kernels_bits(
    config: SimulatorConfig, seed: int, volatility: float, silent: float, mood: str
) -> None:
    rng = np.random.default_rng(seed)
    prices = random_prices(rng, 60, volatility, silent)
    actions = {
        "any": rng.uniform(-1.2, 1.2, 59),
        "ends": rng.choice([-1.0, 0.0, 1.0], 59),
        "small": rng.uniform(-0.15, 0.15, 59),
    }[mood]
    market = market_of(prices, 252.0)
    simulator = Simulator(market, config, auto_reset=False)
    simulator.reset()
    t, p = Terms(*config.terms().tolist()), account.start(config)
    borrow = float(market.instruments(config.borrow_bps_per_year)[0, k.BORROW])
    seen = np.zeros(k.SEEN_SIZE, dtype=np.float32)
    for i, action in enumerate(actions.tolist()):
        result = simulator.step(np.array([action]))
        price = prices[i, 3] if config.fill == "close" else prices[i + 1, 0]
        planned = account.plan(t, p, action, float(price), float(prices[i, 4]))
        p, fill = account.carry(
            t, p, action, price=float(price), close=float(prices[i + 1, 3]),
            volume=float(prices[i, 4]), borrow=borrow,
        )  # fmt: skip
        for name, field in FIELDS.items():
            assert getattr(p, name) == simulator._now(field)[0], (i, name)
        assert (fill.units, fill.price) == (simulator.fills[0], simulator.fill_price[0])
        assert planned.units == fill.units
        assert (planned.hold is None) == (fill.units != 0.0)
        account.observe(p, seen)
        assert seen.tobytes() == result.observations[0, 1:].tobytes()
        if result.terminated[0]:
            assert p.equity <= t.ruin_equity
            break


BASE: dict[str, Any] = {"min_notional": 100.0, "commission_bps": 0.0}
INVESTED = Portfolio(0.0, 100.0, 10_000.0, 10_000.0, entry=100.0, exposure=1.0, bars_held=3.0)


@pytest.mark.parametrize(
    ("settings_", "portfolio", "action", "volume", "hold"),
    [
        ({}, None, 0.05, 1.0, Hold.HOLD_ZONE),
        ({"hold_threshold": 0.0}, None, 0.0, 1.0, Hold.HOLD_ZONE),
        ({}, None, -0.5, 1.0, Hold.NOTHING_HELD),
        ({}, INVESTED, 0.5, 1.0, Hold.NO_CASH),
        ({"lot_size": 1.0}, INVESTED._replace(cash=50.0), 1.0, 1.0, Hold.BELOW_LOT),
        ({"volume_cap": 0.1}, None, 0.5, 0.0, Hold.NO_VOLUME),
        ({"lot_size": 500.0}, None, 0.5, 1.0, Hold.BELOW_LOT),
        ({"min_notional": 6_000.0}, None, 0.5, 1.0, Hold.BELOW_MINIMUM),
        ({"action_mode": "target_long"}, INVESTED, 1.0, 1.0, Hold.AT_TARGET),
        ({"action_mode": "target_long"}, None, -1.0, 1.0, Hold.AT_TARGET),
        (
            {"action_mode": "target_long", "rebalance_threshold": 0.1},
            INVESTED, 0.95, 1.0, Hold.AT_TARGET,
        ),
        ({}, None, 0.5, 1.0, None),
        ({}, INVESTED, -0.5, 1.0, None),
    ],
)  # fmt: skip
def test_what_fills_nothing_has_a_reason(
    settings_: dict[str, Any],
    portfolio: Portfolio | None,
    action: float,
    volume: float,
    hold: Hold | None,
) -> None:
    config = SimulatorConfig(**{**BASE, **settings_})
    p = portfolio or account.start(config)
    planned = account.plan(Terms(*config.terms().tolist()), p, action, 100.0, volume)
    assert planned.hold is hold
    assert (planned.units == 0.0) == (hold is not None)


def test_no_action_leaves_units_and_smoother_as_they_are() -> None:
    config = SimulatorConfig(action_mode="target_long", smoothing_alpha=0.5)
    t = Terms(*config.terms().tolist())
    p = INVESTED._replace(smoothed=0.8)
    after, fill = account.carry(t, p, None, price=50.0, close=60.0, volume=0.0, borrow=0.0)
    assert (after.units, after.smoothed, fill.units) == (100.0, 0.8, 0.0)
    assert (after.equity, after.bars_held) == (6_000.0, 4.0)
