"""Observations without a market: the columns that experts read, drawn at random."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import pytest

from offline_trader.simulator import MarketTensor, SimulatorConfig
from offline_trader.types import PORTFOLIO_FIELDS, ObservationLayout, Observations

Draw: TypeAlias = Callable[[int, int, SimulatorConfig], Observations]
Row: TypeAlias = Callable[..., Observations]

RANGES: dict[str, tuple[float, float]] = {
    "rsi_14": (0.0, 1.0),
    "macd": (-0.03, 0.03),
    "macd_hist": (-0.01, 0.01),
    "bollinger_position": (-0.2, 1.2),
    "adx_14": (0.0, 1.0),
    "volume_ratio_20": (0.2, 3.0),
    "return_252": (-0.4, 0.4),
    "volatility_20": (0.002, 0.04),
    "volatility_60": (0.002, 0.04),
    "sma_cross_50_200": (-0.1, 0.1),
    "donchian_position_20": (-0.3, 1.3),
    "donchian_position_55": (-0.3, 1.3),
}


@pytest.fixture
def layout() -> ObservationLayout:
    return ObservationLayout(tuple(RANGES), "0" * 64)


def _draw(n: int, seed: int, config: SimulatorConfig, layout: ObservationLayout) -> Observations:
    """[n, O] observations over the whole range of every column; a third of the rows are flat."""
    rng = np.random.default_rng(seed)
    columns = [rng.uniform(*RANGES[name], n) for name in layout.features]
    low = -1.0 if config.action_mode == "target_long_short" else 0.0
    exposure = rng.choice([0.0, 1.0, low], n) * rng.uniform(0.1, 1.0, n)
    held = exposure != 0.0
    portfolio = {
        "exposure": exposure,
        "unrealised_return": rng.uniform(-0.2, 0.2, n) * held,
        "hold_time": rng.uniform(0.0, 1.0, n) * held,
        "drawdown": rng.uniform(-0.5, 0.0, n),
        "smoothed_action": np.zeros(n),
    }
    columns += [portfolio[name] for name in PORTFOLIO_FIELDS]
    return np.stack(columns, axis=1).astype(np.float32)


def _row(layout: ObservationLayout, **values: float) -> Observations:
    """One observation [1, O] with the given columns; neutral elsewhere."""
    neutral = {
        "rsi_14": 0.55,
        "bollinger_position": 0.5,
        "volume_ratio_20": 1.0,
        "volatility_20": 0.01,
        "volatility_60": 0.01,
        "donchian_position_20": 0.5,
        "donchian_position_55": 0.5,
    }
    unknown = set(values) - set(layout.names)
    assert not unknown
    row = [values.get(name, neutral.get(name, 0.0)) for name in layout.names]
    return np.array([row], dtype=np.float32)


@pytest.fixture
def draw(layout: ObservationLayout) -> Draw:
    return lambda n, seed, config: _draw(n, seed, config, layout)


@pytest.fixture
def row(layout: ObservationLayout) -> Row:
    return lambda **values: _row(layout, **values)


@pytest.fixture
def market(layout: ObservationLayout) -> MarketTensor:
    """Two random walks of 200 and 100 bars, one after the other, with features of zeros."""
    rng = np.random.default_rng(11)
    close = 100.0 * np.exp(np.cumsum(rng.normal(0.0, 0.01, 300)))
    open_ = close * np.exp(rng.normal(0.0, 0.003, 300))
    high, low = np.maximum(open_, close) * 1.002, np.minimum(open_, close) * 0.998
    return MarketTensor(
        prices=np.stack([open_, high, low, close, np.full(300, 1e6)], axis=1),
        features=np.zeros((300, len(layout.features)), dtype=np.float32),
        start=np.array([0, 200]),
        stop=np.array([200, 300]),
        periods_per_year=np.full(2, 252.0),
        symbols=("first", "second"),
        timestamps=np.arange(300).astype("datetime64[D]").astype("datetime64[ns]"),
        layout=layout,
    )
