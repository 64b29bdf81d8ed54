"""Bars for feature tests: random, flat, without volume, on any spacing."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from offline_trader.markets import Bars

DAY = np.timedelta64(86_400_000_000_000, "ns")


def random_bars(
    n: int,
    seed: int,
    *,
    sigma: float = 0.02,
    flat_share: float = 0.0,
    silent_share: float = 0.0,
    level: float = 100.0,
    step: np.timedelta64 = DAY,
) -> Bars:
    """A random walk of ``n`` bars.

    Args:
        n: number of bars.
        seed: of the walk.
        sigma: standard deviation of a bar's log return.
        flat_share: share of 40-bar blocks in which open = high = low = close do not move.
        silent_share: share of 40-bar blocks without volume.
        level: first price.
        step: spacing of the bars.
    """
    rng = np.random.default_rng(seed)
    blocks = (n + 39) // 40
    flat = np.repeat(rng.random(blocks) < flat_share, 40)[:n]
    silent = np.repeat(rng.random(blocks) < silent_share, 40)[:n]
    moves = np.where(flat, 0.0, sigma * rng.standard_normal(n))
    close = level * np.exp(np.cumsum(moves))
    before = np.concatenate([[level], close[:-1]])
    open_ = np.where(flat, close, before * np.exp(0.3 * sigma * rng.standard_normal(n)))
    span = np.where(flat, 0.0, sigma * np.abs(rng.standard_normal((2, n))))
    return Bars(
        symbol="random",
        timestamps=np.datetime64("1990-01-01", "ns") + step * np.arange(n),
        open=open_,
        high=np.maximum(open_, close) * np.exp(span[0]),
        low=np.minimum(open_, close) * np.exp(-span[1]),
        close=close,
        volume=np.where(silent, 0.0, rng.lognormal(10.0, 1.0, n)),
    )


@pytest.fixture(scope="session")
def make_bars() -> Callable[..., Bars]:
    """:func:`random_bars`."""
    return random_bars
