"""Synthetic markets, and an independent loop that trades them."""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt
from typing import Any

import numpy as np
import pytest

from offline_trader.simulator import MarketTensor, SimulatorConfig
from offline_trader.types import FloatArray, ObservationLayout

N_FEATURES = 4
MakeMarket = Callable[..., MarketTensor]
NaiveLoop = Callable[[SimulatorConfig, FloatArray, FloatArray, float], dict[str, FloatArray]]


def _prices(rng: np.random.Generator, n_bars: int, volatility: float) -> FloatArray:
    """[T, 5] a random walk with overnight gaps; volume of a few hundred units."""
    close = 100.0 * np.exp(np.cumsum(rng.normal(0.0, volatility, n_bars)))
    open_ = close * np.exp(rng.normal(0.0, volatility / 2, n_bars))
    high, low = np.maximum(open_, close) * 1.002, np.minimum(open_, close) * 0.998
    volume = np.round(rng.uniform(50.0, 500.0, n_bars))
    return np.stack([open_, high, low, close, volume], axis=1)


def _market(
    n_bars: int = 300,
    *,
    seed: int = 0,
    volatility: float = 0.01,
    instruments: int = 1,
    prices: FloatArray | None = None,
) -> MarketTensor:
    rng = np.random.default_rng(seed)
    if prices is None:
        prices = np.concatenate([_prices(rng, n_bars, volatility) for _ in range(instruments)])
    total = len(prices)
    starts = np.arange(instruments, dtype=np.int64) * (total // instruments)
    days = np.datetime64("2000-01-01", "ns") + np.arange(total) * np.timedelta64(1, "D")
    names = tuple(f"f{i}" for i in range(N_FEATURES))
    return MarketTensor(
        prices=prices,
        features=rng.normal(size=(total, N_FEATURES)).astype(np.float32),
        start=starts,
        stop=starts + total // instruments,
        periods_per_year=np.full(instruments, 252.0),
        symbols=tuple(f"S{i}" for i in range(instruments)),
        timestamps=days,
        layout=ObservationLayout(names, "test"),
    )


def _naive(
    c: SimulatorConfig, prices: FloatArray, actions: FloatArray, periods: float
) -> dict[str, FloatArray]:
    """The rules of docs/simulator.md in plain Python, written apart from the kernel."""
    cash, units, weight, smooth, costs = c.initial_cash, 0.0, 0.0, 0.0, 0.0
    fee, base = c.commission_bps / 1e4, (c.half_spread_bps + c.slippage_bps) / 1e4
    rows: dict[str, list[float]] = {k: [] for k in ("equity", "cash", "units", "fills", "costs")}
    for t, raw in enumerate(actions):
        a = smooth = (
            c.smoothing_alpha * float(np.clip(raw, -1, 1)) + (1 - c.smoothing_alpha) * smooth
        )
        price = prices[t, 3] if c.fill == "close" else prices[t + 1, 0]
        volume = prices[t, 4]

        def friction(q: float, volume: float = volume) -> float:
            share = sqrt(abs(q) / volume) if c.impact_bps else 0.0
            return min(base + c.impact_bps / 1e4 * share, 0.5)

        q, w = 0.0, a
        liquid = volume > 0 or not (c.impact_bps or c.volume_cap)
        if c.action_mode == "order" and liquid and abs(a) >= c.hold_threshold:
            q = a * units if a <= 0 else a * cash * c.max_position_pct / price
            if c.sizing == "post_fee" and a > 0:
                q = q / (1 + friction(q)) / (1 + fee)
        elif c.action_mode != "order" and liquid:
            w = c.max_position_pct * (max(a, 0.0) if c.action_mode == "target_long" else a)
            if abs(w - weight) >= c.rebalance_threshold:
                q = (w * (cash + units * price) - units * price) / price
                f = friction(q)
                buy, sell = (1 + f) * (1 + fee) - 1, 1 - (1 - f) * (1 - fee)
                if c.sizing == "post_fee":
                    q /= 1 + w * buy if q > 0 else 1 - w * sell
        if c.volume_cap:
            q = float(np.clip(q, -c.volume_cap * volume, c.volume_cap * volume))
        if c.lot_size:
            q = int(q / c.lot_size + np.sign(q) * 1e-9) * c.lot_size
        if q > 0 and q * price * (1 + friction(q)) * (1 + fee) > cash:
            q = cash / (price * (1 + friction(q)) * (1 + fee))
            q = int(q / c.lot_size) * c.lot_size if c.lot_size else q
        closes = q * units < 0 and (
            abs(units + q) < 1e-9 * abs(units) or abs(units + q) * price < c.dust_notional
        )
        if closes and units < 0:
            closes = -units * price * (1 + friction(units)) * (1 + fee) <= cash
        if closes:
            q = -units
        elif abs(q) * price < c.min_notional * (1 - 1e-9):
            q = 0.0
        if q:
            moved = price * (1 + np.sign(q) * friction(q))
            cash, units = cash - q * moved - abs(q) * moved * fee, 0.0 if closes else units + q
            costs += abs(q) * (abs(moved - price) + moved * fee)
        if units < 0:
            borrow = -units * prices[t + 1, 3] * c.borrow_bps_per_year / 1e4 / periods
            cash, costs = cash - borrow, costs + borrow
        equity = cash + units * prices[t + 1, 3]
        weight = units * prices[t + 1, 3] / equity
        for name, value in zip(rows, (equity, cash, units, q, costs), strict=True):
            rows[name].append(value)
        if equity <= c.ruin_fraction * c.initial_cash:
            break
    return {name: np.array(values) for name, values in rows.items()}


@pytest.fixture(scope="session")
def make_tensor() -> MakeMarket:
    """``make_tensor(n_bars, seed=, volatility=, instruments=, prices=)``: a synthetic market."""
    return _market


@pytest.fixture(scope="session")
def naive_loop() -> NaiveLoop:
    """``naive_loop(config, prices [T + 1, 5], actions [T], periods_per_year)``: the same rules."""
    return _naive


@pytest.fixture(scope="session")
def market() -> MarketTensor:
    """300 bars of one instrument."""
    return _market()


@pytest.fixture(scope="session")
def free() -> dict[str, Any]:
    """Settings without costs, minima and ruin."""
    return {
        "commission_bps": 0.0,
        "half_spread_bps": 0.0,
        "slippage_bps": 0.0,
        "borrow_bps_per_year": 0.0,
        "min_notional": 0.0,
        "dust_notional": 0.0,
        "ruin_fraction": 0.0,
    }
