"""A market whose bars alone teach an encoder: one direction of many features tells a return.

F features, each an AR(1) process of its own, are a user's signals beside no other; their mean with
signs that alternate, scaled to variance 1, is s, and

    r_t = σ (c·s_{t−1} + √(1 − c²)·e_t)

No feature alone tells more than c/√F of it. The teacher knows the direction and holds the sign
of s.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

FEATURES = 128
COEFFICIENT, PERSISTENCE, SIGMA = 0.5, 0.5, 0.01
TEACHER = "benchmarks.hidden_direction:teacher"
NAMES = tuple(f"f{i:03d}" for i in range(FEATURES))
_SIGNS = np.where(np.arange(FEATURES) % 2, -1.0, 1.0) / math.sqrt(FEATURES)


def write_bars(file: Path, bars: int, seed: tuple[int, ...]) -> None:
    """Hourly bars with the features as further columns, as CSV."""
    import pandas as pd
    from scipy.signal import lfilter

    rng = np.random.default_rng(seed)
    shocks = math.sqrt(1.0 - PERSISTENCE**2) * rng.standard_normal((bars, FEATURES))
    shocks[0] /= math.sqrt(1.0 - PERSISTENCE**2)
    x = lfilter([1.0], [1.0, -PERSISTENCE], shocks, axis=0)
    told = np.concatenate(([0.0], (x @ _SIGNS)[:-1]))
    noise = math.sqrt(1.0 - COEFFICIENT**2) * rng.standard_normal(bars)
    close = 100.0 * np.exp(np.cumsum(SIGMA * (COEFFICIENT * told + noise)))
    opened = np.concatenate(([100.0], close[:-1]))
    wicks = np.exp(0.3 * SIGMA * np.abs(rng.standard_normal((2, bars))))
    columns: dict[str, Any] = {
        "timestamp": pd.date_range("2000-01-03", periods=bars, freq="h"),
        "open": opened,
        "high": np.maximum(opened, close) * wicks[0],
        "low": np.minimum(opened, close) / wicks[1],
        "close": close,
        "volume": 1e6 * np.exp(0.3 * rng.standard_normal(bars)),
    }
    columns |= dict(zip(NAMES, x.T.round(5), strict=True))
    pd.DataFrame(columns).to_csv(file, index=False)


def best_direction() -> float:
    """Share of the bars whose direction is told right by who knows s."""
    return 0.5 + math.asin(COEFFICIENT) / math.pi


def teacher(features: Any, portfolio: Any, space: str = "target") -> Any:
    """The sign of the hidden direction."""
    s = sum(sign * np.asarray(features[name]) for sign, name in zip(_SIGNS, NAMES, strict=True))
    return np.sign(s)
