"""Both forecasts of a log are fitted once, for whoever trains on it and judges by it."""

from __future__ import annotations

import gc
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from offline_trader.learning.agents import make_learner
from offline_trader.learning.settings import DirectConfig, LearnerConfig
from offline_trader.learning.stages.direct import (
    Log,
    LogJudge,
    PositionMarket,
    fit_forecast,
    fit_volatility,
    foretold_log,
)
from offline_trader.learning.stages.direct.foretold_log import foretell
from offline_trader.learning.stages.direct.training import DirectTraining


def drawn_log() -> Log:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((300, 2)).astype(np.float32)
    gains = 0.01 * (x[:, :1] + rng.standard_normal((300, 1)) * np.exp(x[:, 1:]))
    return Log(x, gains, np.array([[0, 300]]))


@pytest.fixture
def fits(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    calls: list[Any] = []

    def counted(log: Log, *args: Any, **settings: Any) -> Any:
        calls.append(settings)
        return fit_forecast(log, *args, **settings)

    monkeypatch.setattr(foretold_log, "fit_forecast", counted)
    return calls


def test_a_training_and_a_judge_share_a_fit(fits: list[Any]) -> None:
    config = DirectConfig(bars=20, windows=2)
    market = PositionMarket(drawn_log())
    learner = make_learner(LearnerConfig(hidden=(8,), engine="stock"), 3)
    training = DirectTraining(learner, market.to("cpu"), config, 0)
    judge = LogJudge(learner, market, replace(config, bars=30))
    assert training.judge.forecast is judge.forecast
    assert training.judge.volatility is judge.volatility
    assert len(fits) == 1


def test_another_log_or_setting_is_fitted_anew(fits: list[Any]) -> None:
    log, config = drawn_log(), DirectConfig()
    found = foretell(log, config)
    size = fit_volatility(log, config.folds, config.embargo, horizon=config.horizon)
    alone = fit_forecast(
        log, config.folds, config.embargo, horizon=config.horizon, weights=size.weights
    )
    assert found.volatility is not None
    np.testing.assert_array_equal(found.volatility.values, size.values)
    np.testing.assert_array_equal(found.forecast.values, alone.values)
    others = [replace(config, horizon=1), replace(config, embargo=9), replace(config, folds=3)]
    for other in (*others, replace(config, market_input="features")):
        assert not np.array_equal(foretell(log, other).forecast.values, alone.values)
    assert foretell(log, replace(config, market_input="features")).volatility is None
    foretell(replace(log), config)
    assert len(fits) == 6


def test_fits_go_with_their_log() -> None:
    before = len(foretold_log._KEPT)
    log = drawn_log()
    foretell(log, DirectConfig())
    assert len(foretold_log._KEPT) == before + 1
    del log
    gc.collect()
    assert len(foretold_log._KEPT) <= before
