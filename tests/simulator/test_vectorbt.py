"""Accounting against vectorbt's ``Portfolio.from_orders``, an independent backtester."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

from offline_trader.envs import EnvConfig, make_market
from offline_trader.simulator import SimulatorConfig, simulate_actions
from offline_trader.types import FloatArray

COSTS = {"free": (0.0, 0.0), "commission": (0.001, 0.0), "all": (0.0005, 0.0007)}


def weights(kind: str, n: int) -> FloatArray:
    """[T] target weights in [0, 1]."""
    rng = np.random.default_rng(7)
    if kind == "uniform":
        return rng.uniform(0.0, 1.0, n)
    if kind == "switching":
        return np.repeat(rng.choice([0.0, 0.5, 1.0], n // 10 + 1), 10)[:n]
    return np.ones(n)


def vectorbt_equity(prices: FloatArray, w: FloatArray, fees: float, slippage: float) -> FloatArray:
    """[T] value at each close of the orders decided a bar before."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pandas as pd
        import vectorbt as vbt

        portfolio = vbt.Portfolio.from_orders(
            pd.Series(prices[:, 3]),
            pd.Series(w).shift(1),
            size_type="targetpercent",
            direction="longonly",
            price=pd.Series(prices[:, 0]),
            fees=fees,
            slippage=slippage,
            init_cash=10_000.0,
        )
        return np.asarray(portfolio.value(), dtype=np.float64)


@pytest.mark.parametrize("kind", ["uniform", "switching", "buy-and-hold"])
@pytest.mark.parametrize("costs", COSTS)
@pytest.mark.parametrize("market", ["sp500", "nasdaq"])
def test_equity_equals_vectorbt_to_nine_digits(market: str, costs: str, kind: str) -> None:
    tensor = make_market(EnvConfig(market=(market,)))
    w = weights(kind, len(tensor))
    fees, slippage = COSTS[costs]
    rules: dict[str, Any] = {
        "action_mode": "target_long",
        "commission_bps": fees * 1e4,
        "half_spread_bps": 0.0,
        "slippage_bps": slippage * 1e4,
        "min_notional": 0.0,
        "dust_notional": 0.0,
        "ruin_fraction": 0.0,
    }
    ours = simulate_actions(tensor, SimulatorConfig(**rules), w[:-1])
    assert ours.equity is not None
    wanted = vectorbt_equity(tensor.prices, w, fees, slippage)
    assert ours.orders[0] > 0
    assert not np.allclose(wanted, wanted[0])
    np.testing.assert_allclose(ours.equity[:, 0], wanted, rtol=1e-9)
