"""Observations whose labels are functions of them, some of them missing."""

from __future__ import annotations

import numpy as np
import pytest

from offline_trader.learning.stages.auxiliary import AuxiliaryData, BarLabels, LabelledRows


def rows_of(seed: int, bars: int = 800, each: int = 3) -> LabelledRows:
    """Three observations a bar: two market columns and a position, by which the expert acts."""
    rng = np.random.default_rng(seed)
    market = rng.standard_normal((bars, 2))
    number = np.repeat(np.arange(bars), each)
    position = rng.uniform(-1, 1, (bars * each, 1))
    seen = np.concatenate([market[number], position], axis=1).astype(np.float32)
    noise = 0.1 * rng.standard_normal(bars)
    returns = 0.01 * (np.sin(2.0 * market[:, 0]) + noise) + 0.003
    volatility = 0.01 * np.exp(0.5 * market[:, 1])
    returns[::7], volatility[::5] = np.nan, np.nan
    volume = np.digitize(market[:, 0] + market[:, 1], (-0.5, 0.5))
    regime = 2 * (market[:, 0] > 0) + (market[:, 1] > 0)
    volume[::3], regime[::4] = -1, -1
    actions = np.tanh(market[number, 0] + position[:, 0]).astype(np.float32)
    actions[::6] = np.nan
    past = rng.standard_normal(bars)
    labels = BarLabels(
        returns,
        volatility,
        volume.astype(np.int64),
        regime.astype(np.int64),
        0.01 * past,
        np.full(bars, 0.01),
        np.full(bars, np.nan),
        np.ones(bars, np.int64),
        np.zeros(bars, np.int64),
    )
    return LabelledRows(seen, number.astype(np.int64), actions, labels)


@pytest.fixture(scope="session")
def planted() -> AuxiliaryData:
    return AuxiliaryData(rows_of(0), rows_of(1, bars=300))
