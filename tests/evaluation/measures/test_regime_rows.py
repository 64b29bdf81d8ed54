"""Measures by regime: the right bars, and silence where there are too few."""

from __future__ import annotations

import numpy as np
import pytest

from offline_trader.errors import DataError
from offline_trader.evaluation.measures import regime_labels, regime_rows
from offline_trader.markets.regimes import REGIMES, detect_regimes


def test_rows_hold_each_regimes_own_bars() -> None:
    rng = np.random.default_rng(0)
    labels = np.array([0] * 100 + [1] * 80 + [2] * 59 + [-1] * 10)
    returns = rng.normal(0, 0.01, labels.size)
    market = rng.normal(0, 0.01, labels.size)
    rows = regime_rows(returns, labels, 252.0, market)
    assert [row.name for row in rows] == list(REGIMES)
    assert [row.n for row in rows] == [100, 80, 59, 0]
    assert rows[0].mean_return == pytest.approx(returns[:100].mean())
    assert rows[1].benchmark_mean_return == pytest.approx(market[100:180].mean())
    mean, deviation = returns[:100].mean(), returns[:100].std(ddof=1)
    assert rows[0].sharpe == pytest.approx(mean / deviation * np.sqrt(252))
    assert rows[0].share == pytest.approx(100 / 249)


def test_too_few_bars_are_said_and_not_judged() -> None:
    row = regime_rows(np.zeros(59), np.zeros(59, dtype=np.int64), 252.0)[0]
    assert row.sharpe is None
    assert row.mean_return is None
    assert row.note == "not enough data (59 of 60 bars)"


def test_labels_are_those_known_when_the_position_was_chosen() -> None:
    close = 100 * np.exp(np.cumsum(np.random.default_rng(2).normal(0.0005, 0.01, 600)))
    labels = regime_labels(close, 300, 500)
    assert labels.size == 199
    assert np.array_equal(labels, detect_regimes(close)[300:499])


def test_refuses_what_does_not_fit() -> None:
    with pytest.raises(DataError, match="regime labels"):
        regime_rows(np.zeros(10), np.zeros(9, dtype=np.int64), 252.0)
    with pytest.raises(DataError, match="rows 5 to 20"):
        regime_labels(np.ones(10), 5, 20)
