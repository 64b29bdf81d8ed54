"""gym-anytrading and gym-trading-env, scalar environments, over the benchmark's market.

Run in ``.bench-peers/trading-envs``: ``python trading_envs.py NAME MARKET.npz``. Both get the same
bars and 32 features, fees where they have them, and actions drawn beforehand.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from turns import serve


def anytrading(market: Any) -> tuple[Any, int]:
    """Environment and its number of actions; the features as its signal features."""
    from gym_anytrading.envs import StocksEnv

    class Stocks(StocksEnv):
        def _process_data(self) -> tuple[np.ndarray, np.ndarray]:
            return market["prices"][:, 3].astype(np.float32), market["features"]

    frame = pd.DataFrame({"Close": market["prices"][:, 3]})
    return Stocks(frame, window_size=1, frame_bound=(1, len(frame))), 2


def trading_env(market: Any) -> tuple[Any, int]:
    """Environment and its number of actions; five positions, fees, episodes of 1,000 steps."""
    from gym_trading_env.environments import TradingEnv

    columns = dict(zip(("open", "high", "low", "close", "volume"), market["prices"].T, strict=True))
    columns |= {f"feature_{i}": x for i, x in enumerate(market["features"].T)}
    index = pd.date_range("2000-01-01", periods=len(market["prices"]), freq="D")
    positions = [0, 0.25, 0.5, 0.75, 1]
    env = TradingEnv(
        pd.DataFrame(columns, index=index),
        positions=positions,
        trading_fees=3e-4,
        max_episode_duration=1000,
        verbose=0,
    )
    return env, len(positions)


def stepping(env: Any, n_actions: int) -> Callable[[int], None]:
    """Work that steps with random actions and resets where an episode ends."""
    actions = np.random.default_rng(0).integers(0, n_actions, 4096).tolist()
    env.reset(seed=0)
    place = 0

    def work(calls: int) -> None:
        nonlocal place
        for _ in range(calls):
            _, _, terminated, truncated, _ = env.step(actions[place])
            place = (place + 1) % 4096
            if terminated or truncated:
                env.reset()

    return work


if __name__ == "__main__":
    make = {"gym-anytrading": anytrading, "gym-trading-env": trading_env}[sys.argv[1]]
    serve(stepping(*make(np.load(sys.argv[2]))), units=1)
