"""TorchTrade's vectorised environment over the benchmark's market.

Run in ``.bench-peers/torchtrade``: ``python torchtrade_vectorised.py HOW LANES MARKET.npz``. It
gets the same bars and 32 features, a window of one bar, a fee, five target positions and episodes
of 1,000 steps. HOW is ``public``, TorchRL's ``step_and_maybe_reset``, or ``inner``, the
environment's own ``_step`` with ended lanes reset, which no user calls but which leaves out what
TorchRL adds.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import numpy as np
import pandas as pd
import torch
from tensordict import TensorDict
from torchtrade.envs.offline.vectorized_sequential import (
    VectorizedSequentialTradingEnv,
    VectorizedSequentialTradingEnvConfig,
)
from turns import serve

LEVELS = [0.0, 0.25, 0.5, 0.75, 1.0]


def make(lanes: int, path: str) -> VectorizedSequentialTradingEnv:
    """The environment with ``lanes`` lanes."""
    market = np.load(path)
    names = ("open", "high", "low", "close", "volume")
    frame = pd.DataFrame(dict(zip(names, market["prices"].T, strict=True)))
    frame.insert(0, "timestamp", pd.date_range("2000-01-01", periods=len(frame), freq="h"))
    features = market["features"]

    def with_features(bars: pd.DataFrame) -> pd.DataFrame:
        rows = features[-len(bars) :]
        columns = {f"features_{i}": rows[:, i] for i in range(rows.shape[1])}
        return bars.reset_index().assign(**columns)

    config = VectorizedSequentialTradingEnvConfig(
        num_envs=lanes,
        time_frames="1Hour",
        window_sizes=1,
        execute_on="1Hour",
        transaction_fee=3e-4,
        bankrupt_threshold=0.05,
        max_traj_length=1000,
        action_levels=LEVELS,
    )
    return VectorizedSequentialTradingEnv(frame, config, with_features)


def stepping(env: VectorizedSequentialTradingEnv, lanes: int, how: str) -> Callable[[int], None]:
    """Work that steps all lanes with random actions and resets those that ended."""
    generator = torch.Generator().manual_seed(0)
    actions = [torch.randint(0, len(LEVELS), (lanes,), generator=generator) for _ in range(64)]
    now = env.reset()
    width = sum(now[key].numel() for key in env._market_data_keys) // lanes
    assert width == 32, f"{width} features observed"
    place = 0

    def public() -> None:
        nonlocal now
        now["action"] = actions[place]
        _, now = env.step_and_maybe_reset(now)

    def inner() -> None:
        after = env._step(TensorDict({"action": actions[place]}, batch_size=[lanes]))
        done = after["done"]
        if done.any():
            env._reset(TensorDict({"_reset": done}, batch_size=[lanes]))

    step = {"public": public, "inner": inner}[how]

    @torch.no_grad()
    def work(calls: int) -> None:
        nonlocal place
        for _ in range(calls):
            step()
            place = (place + 1) % 64

    return work


if __name__ == "__main__":
    torch.set_num_threads(1)
    n = int(sys.argv[2])
    serve(stepping(make(n, sys.argv[3]), n, sys.argv[1]), units=n)
