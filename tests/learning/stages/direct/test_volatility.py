"""The forecast of the size of gains: fitted out of fold, weighed by, seen by the policy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.signal import lfilter

from offline_trader.learning.agents import make_learner
from offline_trader.learning.data import Preprocessing
from offline_trader.learning.settings import DirectConfig, LearnerConfig
from offline_trader.learning.stages.direct import (
    Log,
    PositionMarket,
    fit_forecast,
    fit_volatility,
    train_direct,
)
from offline_trader.learning.stages.direct import forecast as forecasts
from offline_trader.learning.stages.direct.forecast_input import ForecastPolicy

SERIES = np.array([[0, 3_000]])


def moving(n: int = 3_000, seed: int = 0, signal: float = 0.0, drift: float = 0.0) -> Log:
    """Feature 0 tells the log of the gains' deviation, feature 1 ``signal`` of their mean."""
    rng = np.random.default_rng(seed)
    x = lfilter([1.0], [1.0, -0.95], rng.standard_normal((2, n)) * np.sqrt(1.0 - 0.95**2)).T
    size = np.exp(0.8 * x[:, 0])
    gains = drift + signal * x[:, 1] + size * rng.standard_normal(n)
    features = np.column_stack([size, x[:, 1], rng.standard_normal((n, 6))]).astype(np.float32)
    return Log(features, gains[:, None], np.array([[0, n]]))


def test_the_size_of_a_gain_is_foretold() -> None:
    log = moving()
    found = fit_volatility(log)
    expected = np.sqrt(2.0 / np.pi) * log.features[:, 0]
    assert np.corrcoef(found.values, expected)[0, 1] > 0.97
    assert found.values.mean() == pytest.approx(expected.mean(), rel=0.05)
    used = log.features.astype(np.float64) @ found.coefficients + found.intercept
    assert np.corrcoef(used, found.values)[0, 1] > 0.98
    weights = found.weights
    assert weights.max() <= 1.0 / 0.3**2 + 1e-9
    assert np.corrcoef(np.log(weights), np.log(log.features[:, 0]))[0, 1] < -0.9


def test_the_size_of_even_noise_is_one_size() -> None:
    """Where nothing moves more at one time than at another, nothing is invented: the weights are
    alike, and the policy sees one number."""
    for seed in range(6):
        rng = np.random.default_rng(seed)
        x = rng.standard_normal((3_000, 10)).astype(np.float32)
        log = Log(x, rng.standard_normal((3_000, 1)), SERIES)
        found = fit_volatility(log)
        np.testing.assert_allclose(found.values, np.abs(log.gains).mean())
        np.testing.assert_array_equal(found.coefficients, 0.0)
        np.testing.assert_allclose(found.weights, 1.0)
        market = ForecastPolicy(
            learner(10), PositionMarket(log), fit_forecast(log), found, 0
        ).market
        assert market.log.features[:, 1].std() < 0.3


def test_gains_that_do_not_move_have_no_size() -> None:
    log = Log(moving().features, np.zeros((3_000, 1)), SERIES)
    found = fit_volatility(log)
    np.testing.assert_array_equal(found.values, 0.0)
    np.testing.assert_array_equal(found.weights, 1.0)


def test_a_row_s_size_has_not_seen_its_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forecasts, "_PENALTIES", (0.03, np.inf))  # the block may choose, too
    log = moving(1_000)
    gains = log.gains.copy()
    gains[200:400] *= 1.5  # the second fifth
    before, after = (fit_volatility(each) for each in (log, Log(log.features, gains, log.series)))
    first, second = (each.values[200:400] for each in (before, after))
    # the one thing that all rows decide together is how far the forecasts are shrunk
    assert np.corrcoef(first, second)[0, 1] > 1.0 - 1e-9
    assert np.corrcoef(before.values[600:], after.values[600:])[0, 1] < 1.0 - 1e-6


def test_weights_are_those_of_scikit_learn() -> None:
    from sklearn.linear_model import Ridge

    log = moving(800, signal=0.5)
    w = fit_volatility(log).weights
    w = w / w.mean()
    found = fit_forecast(log, folds=4, embargo=0, powers=(0.0,), weights=w)
    x = log.features.astype(np.float64)
    scaled, gains = (x - x.mean(axis=0)) / x.std(axis=0), log.gains[:, 0]
    inside = np.arange(800) < 200
    alpha = w[~inside].sum() * found.penalties[0]
    model = Ridge(alpha=alpha).fit(scaled[~inside], gains[~inside], sample_weight=w[~inside])
    mean, slopes = gains[~inside].mean(), model.coef_ * found.shrinkage[0]
    expected = mean + (scaled[inside] - scaled[~inside].mean(axis=0)) @ slopes
    np.testing.assert_allclose(found.values[inside, 0], expected, rtol=1e-9)


def test_weights_leave_the_mean_as_it_is() -> None:
    """A market that earns in wild times alone: what is taken off its rewards has their mean."""
    log = moving(2_000)
    gains = log.gains + 0.2 * (log.features[:, :1] > 1.5)
    market = Log(log.features, gains, log.series)
    weights = fit_volatility(market).weights
    assert np.average(gains[:, 0], weights=weights) < 0.5 * gains.mean()
    found = fit_forecast(market, horizon=5, weights=weights)
    assert found.values.mean() == pytest.approx(gains.mean(), rel=0.2)
    used = log.features.astype(np.float64) @ found.coefficients + found.intercept
    assert used.mean() == pytest.approx(gains.mean())


def test_calm_days_tell_more_of_the_mean() -> None:
    """A weak signal among gains of changing size is found oftener, and nothing is invented more."""
    near: dict[str, list[float]] = {"alike": [], "weighed": []}
    nothing: dict[str, list[float]] = {"alike": [], "weighed": []}
    for seed in range(12):
        for strength, found in ((0.06, near), (0.0, nothing)):
            log = moving(2_000, seed, strength)
            told = {"alike": None, "weighed": fit_volatility(log).weights}
            for name, weights in told.items():
                fitted = fit_forecast(log, horizon=5, weights=weights)
                later = moving(2_000, 1_000 + seed).features.astype(np.float64)
                forecast = (later @ fitted.coefficients)[:, 0]
                error = forecast - forecast.mean() - strength * later[:, 1]
                found[name].append(float(np.square(error).mean()))
    assert np.mean(near["weighed"]) < 0.5 * np.mean(near["alike"])
    assert np.mean(nothing["weighed"]) < 0.5 * np.mean(nothing["alike"])


def learner(features: int, **settings: Any) -> Any:
    scaler = Preprocessing(
        np.linspace(-1.0, 1.0, features + 1), np.linspace(0.5, 2.0, features + 1), None, 0.9
    )
    config = LearnerConfig(reward_scaling="none", **{"hidden": (16, 16), **settings})
    return make_learner(config, features + 1, scaler)


def test_the_policy_times_the_size_of_moves() -> None:
    """One mean in calm and in wild times: for the Sharpe ratio less is held in wild ones."""
    log = moving(2_000, drift=0.15)
    trained = learner(8)
    config = DirectConfig(updates=120, windows=64, bars=16, learning_rate=0.02, objective="sharpe")
    train_direct(trained, PositionMarket(log), config)
    calm, wild = np.zeros((2, 9), np.float32)
    calm[0], wild[0] = np.quantile(log.features[:, 0], [0.1, 0.95])
    held = trained.act(np.stack([calm, wild]))[:, 0]
    assert held[0] > 0.3
    assert held[1] < 0.6 * held[0]
