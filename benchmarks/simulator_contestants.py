"""Our side of ``benchmarks.simulator``: one contestant a process (``benchmarks/peers/turns.py``).

``python -m benchmarks.simulator_contestants NAME MARKET.npz``
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent / "peers"))
from turns import serve

from offline_trader.simulator import MarketTensor, Simulator, SimulatorConfig, simulate_actions
from offline_trader.types import ObservationLayout

__all__ = ["CONTESTANTS", "RULES"]

Work = tuple[Callable[[int], None], int]
COLUMNS = 1000
COLUMN_BARS = 2500
RULES: dict[str, SimulatorConfig] = {
    "orders": SimulatorConfig(),
    "orders, close fills, smoothing": SimulatorConfig(fill="close", smoothing_alpha=0.5),
    "orders, lots, volume cap, impact": SimulatorConfig(
        lot_size=0.01, volume_cap=0.5, impact_bps=10.0
    ),
    "target weights, long": SimulatorConfig(action_mode="target_long"),
    "target weights, long-short, post-fee": SimulatorConfig(
        action_mode="target_long_short", sizing="post_fee"
    ),
}


def tensor(path: str) -> MarketTensor:
    """The benchmark's market."""
    market = np.load(path)
    n = len(market["prices"])
    return MarketTensor(
        prices=market["prices"],
        features=market["features"],
        start=np.zeros(1, dtype=np.int64),
        stop=np.full(1, n, dtype=np.int64),
        periods_per_year=np.full(1, 252.0),
        symbols=("synthetic",),
        timestamps=np.datetime64("2000-01-01", "ns") + np.arange(n) * np.timedelta64(1, "D"),
        layout=ObservationLayout(
            tuple(f"f{i}" for i in range(market["features"].shape[1])), "benchmark"
        ),
    )


def simulator(path: str, rules: str, lanes: str) -> Work:
    """``Simulator.step`` with float32 actions [N, 1], episodes of 1,000 bars, random starts."""
    n = int(lanes)
    lane_simulator = Simulator(
        tensor(path), RULES[rules], n, episode_bars=1000, seed=0, random_start=True
    )
    lane_simulator.reset()
    rng = np.random.default_rng(0)
    actions = [rng.uniform(-1, 1, (n, 1)).astype(np.float32) for _ in range(64)]
    place = 0

    def work(calls: int) -> None:
        nonlocal place
        for _ in range(calls):
            lane_simulator.step(actions[place])
            place = (place + 1) % 64

    return work, n


def bare(path: str, lanes: str) -> Work:
    """The bare kernel at the same job."""
    from benchmarks.bare_kernel import STATE_SIZE, bare_step

    n, market = int(lanes), tensor(path)
    rng = np.random.default_rng(0)
    table = np.stack([market.prices[:, 0], market.prices[:, 3], np.log(market.prices[:, 3])], 1)
    state = np.zeros((n, STATE_SIZE))
    state[:, 0] = rng.integers(0, len(market) - 1001, n)
    state[:, 1] = state[:, 3] = state[:, 4] = 10_000.0
    state[:, 7] = state[:, 0] + rng.integers(1, 1000, n)
    observations = np.zeros((n, market.layout.size), dtype=np.float32)
    outputs = (np.zeros(n), np.zeros((2, n), dtype=np.bool_), np.zeros_like(observations))
    actions = [rng.uniform(-1, 1, n) for _ in range(64)]
    place = 0

    def work(calls: int) -> None:
        nonlocal place
        for _ in range(calls):
            bare_step(actions[place], market.features, table, state, observations, *outputs)
            place = (place + 1) % 64

    return work, n


def trading_env(path: str) -> Work:
    """``TradingEnv.step`` on the S&P 500's bars, infos and all; 32 features too."""
    from offline_trader.envs import TradingEnv

    env = TradingEnv("sp500")
    env.reset(seed=0)
    rng = np.random.default_rng(0)
    actions = list(rng.uniform(-1, 1, (4096, 1)).astype(np.float32))
    place = 0

    def work(calls: int) -> None:
        nonlocal place
        for _ in range(calls):
            _, _, terminated, truncated, _ = env.step(actions[place])
            place = (place + 1) % 4096
            if terminated or truncated:
                env.reset()

    return work, 1


def columns(path: str) -> Work:
    """A backtest of 1,000 columns of target weights with equity, fills and measures."""
    market, weights = tensor(path), _weights()
    config = SimulatorConfig(action_mode="target_long", half_spread_bps=0.0)

    def work(calls: int) -> None:
        for _ in range(calls):
            done = simulate_actions(market, config, weights)
            mean = done.log_growth / done.bars
            deviation = np.sqrt(done.log_growth_squared / done.bars - mean**2)
            assert np.isfinite(mean / deviation).all()

    return work, weights.size


def vectorbt(path: str) -> Work:
    """The same orders through vectorbt's ``from_orders``, with return, Sharpe and drawdown."""
    import pandas as pd
    from vectorbt.portfolio.base import Portfolio

    prices = tensor(path).prices[: COLUMN_BARS + 1]
    weights = np.vstack([np.full((1, COLUMNS), np.nan), _weights()])
    index = pd.date_range("2000-01-01", periods=len(prices), freq="D")
    orders = pd.DataFrame(weights, index=index)
    open_, close = (pd.Series(prices[:, i], index=index) for i in (0, 3))

    def work(calls: int) -> None:
        for _ in range(calls):
            portfolio = Portfolio.from_orders(
                close, orders, size_type="targetpercent", direction="longonly",
                price=open_, fees=1e-4, slippage=1e-4, init_cash=10_000.0, freq="D",
            )  # fmt: skip
            portfolio.total_return()
            portfolio.sharpe_ratio()
            portfolio.max_drawdown()

    return work, weights[1:].size


def _weights() -> Any:
    return np.random.default_rng(1).uniform(0.0, 1.0, (COLUMN_BARS, COLUMNS))


CONTESTANTS: dict[str, Callable[..., Work]] = {
    "simulator": simulator,
    "bare": bare,
    "trading-env": trading_env,
    "columns": columns,
    "vectorbt": vectorbt,
}

if __name__ == "__main__":
    work, units = CONTESTANTS[sys.argv[1]](*sys.argv[2:])
    serve(work, units)
