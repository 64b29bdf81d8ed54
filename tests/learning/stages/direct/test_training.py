"""The direct stage: gradients, control variate, resumption, scores where the optimum is known."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.signal import lfilter

from offline_trader.errors import ConfigError, DataError, OfflineTraderError
from offline_trader.evaluation.known_optimum import get_market, make_dataset, score_policy
from offline_trader.evaluation.known_optimum.direct_market import logged_market, position_market
from offline_trader.learning.agents import Learner, make_learner
from offline_trader.learning.data import Preprocessing
from offline_trader.learning.settings import DirectConfig, LearnerConfig
from offline_trader.learning.stages.direct import (
    Log,
    PositionMarket,
    fit_forecast,
    fit_volatility,
    objective,
    train_direct,
)
from offline_trader.learning.stages.direct import forecast as forecasts
from offline_trader.learning.stages.direct.forecast_input import ForecastPolicy
from offline_trader.pipeline.phases import _canonical

TINY = DirectConfig(updates=6, windows=8, bars=5, log_interval=2, checkpoint_interval=3)


def learner_of(seed: int = 0, size: int = 2, **settings: Any) -> Learner:
    config = LearnerConfig(reward_scaling="none", **{"hidden": (16, 16), **settings})
    return make_learner(config, size, seed=seed)


def series_of(n: int, count: int = 4) -> np.ndarray[Any, np.dtype[np.int64]]:
    ends = np.arange(1, count + 1) * n
    return np.stack([ends - n, ends], axis=1)


def signal_market(seed: int = 0, strength: float = 0.5, cost: float = 0.0) -> PositionMarket:
    """Gains ``strength · x + noise`` for a feature x: the best position is its sign."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((800, 1))
    gains = strength * x + rng.standard_normal((800, 1))
    log = Log(x.astype(np.float32), gains, series_of(200))
    return PositionMarket(log, proportional_cost=cost)


def weights(learner: Learner) -> bytes:
    values = [p.detach().numpy().tobytes() for p in learner.algo.impl.policy.parameters()]
    return b"".join(values)


@pytest.mark.parametrize("algorithm", ["cql", "iql", "td3_plus_bc"])
def test_the_actor_finds_the_sign_of_a_signal(algorithm: Any) -> None:
    learner = learner_of(algorithm=algorithm)
    critics = [p.clone() for p in learner.algo.impl.q_function.parameters()]
    config = DirectConfig(updates=60, windows=64, bars=8, learning_rate=0.02)
    result = train_direct(learner, signal_market(), config)
    assert result.updates == 60
    seen = np.array([[2.0, 0.5], [1.0, -0.5], [-1.0, 0.5], [-2.0, -0.5]], np.float32)
    np.testing.assert_array_less([0.8, 0.8, -1.01, -1.01], learner.act(seen)[:, 0])
    np.testing.assert_array_less(learner.act(seen)[2:, 0], -0.8)
    for before, after in zip(critics, learner.algo.impl.q_function.parameters(), strict=True):
        assert torch.equal(before, after)


@pytest.mark.parametrize(("name", "least"), [("M1-narrow", 98.0), ("M3-narrow", 94.0)])
def test_realised_rewards_of_narrow_data_lead_to_the_optimum(name: str, least: float) -> None:
    """A hundred small updates; the full setting's scores are benchmarks/direct's."""
    market = get_market(name[:2])
    data = make_dataset(name, seed=3, realised=True)
    learner = learner_of(seed=3, hidden=(32, 32))
    config = DirectConfig(updates=100, windows=64, bars=48, learning_rate=6e-3)
    train_direct(learner, position_market(market, data), config, seed=3)
    assert score_policy(market, learner.act, n_lanes=64, n_steps=500, seed=1).value > least


def test_a_known_market_s_log_holds_the_realised_gains() -> None:
    """M1's are what the rewards leave unexplained; a row without a position cuts its series."""
    data = make_dataset("M1-narrow", seed=2, n_lanes=4, n_steps=50, realised=True)
    actions = data.actions.copy()
    actions[70] = 0.0
    market: Any = get_market("M1")
    found = position_market(market, replace(data, actions=actions))
    assert found.log.series.tolist() == [[0, 50], [50, 70], [70, 99], [99, 149], [149, 199]]
    expected = make_dataset("M1-narrow", seed=2, n_lanes=4, n_steps=50, realised=False)
    noise = found.log.gains[:50, 0] - data.observations[:50, 0]
    moved = (data.rewards[:50] * data.reward_sd + data.reward_mean) - (
        expected.rewards[:50] * expected.reward_sd + expected.reward_mean
    )
    np.testing.assert_allclose(noise * 4 * data.actions[:50, 0], moved, atol=1e-4)


def test_a_placebo_earns_nothing_and_trades_nothing_away() -> None:
    """M0: with the forecast the policy stays out; rewards as realised make it trade on noise."""
    wasted = {}
    for weight in (0.0, 1.0):
        learner = learner_of(seed=5)
        config = DirectConfig(updates=80, windows=64, bars=16, forecast_weight=weight)
        train_direct(learner, logged_market("M0", seed=5), config, seed=5)
        wasted[weight] = score_policy(get_market("M0"), learner.act, n_lanes=64, n_steps=300).value
    assert wasted[1.0] < 0.05  # basis points a step; trading all the time wastes 10 and more
    assert wasted[1.0] <= wasted[0.0]


def test_the_forecast_of_noise_is_no_forecast() -> None:
    """Out of fold no more than chance is explained, and the error is not below the mean's."""
    explained, left_alone = [], []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        log = Log(
            rng.standard_normal((600, 10)).astype(np.float32),
            rng.standard_normal((600, 1)),
            series_of(150),
        )
        found = fit_forecast(log)
        explained.append(found.r2[0])
        correlation = np.corrcoef(found.values[:, 0], log.gains[:, 0])[0, 1]
        assert not correlation > 0.1
        left_alone.append(found.shrinkage[0] == 0.0)
    assert np.mean(explained) < 0.005
    assert np.mean(left_alone) >= 0.75  # one side of one standard error


def test_a_forecast_shrinks_by_its_own_uncertainty() -> None:
    """The positive part of James & Stein's factor; a strong signal keeps nearly all of it."""
    strong = fit_forecast(signal_market(strength=0.5).log)
    forecast, gains = strong.values[:, 0], signal_market(strength=0.5).log.gains[:, 0]
    slope, _, _, _, error = stats.linregress(forecast, gains)
    assert strong.shrinkage[0] == pytest.approx(1.0 - (error / slope) ** 2, rel=0.02)
    assert 0.97 < strong.shrinkage[0] < 1.0


def test_the_model_of_all_rows_gives_the_forecast_in_use() -> None:
    """Coefficients are of raw features, shrunk like the out-of-fold values."""
    log = signal_market(strength=0.5).log
    moved = Log(5.0 + 0.1 * log.features, log.gains, log.series)
    found = fit_forecast(moved)
    used = moved.features.astype(np.float64) @ found.coefficients + found.intercept
    assert used.mean() == pytest.approx(log.gains.mean(), abs=1e-9)
    assert np.corrcoef(used[:, 0], found.values[:, 0])[0, 1] > 0.999
    assert used.std() == pytest.approx(found.values.std(), rel=0.05)


@pytest.mark.parametrize("horizon", [1, 6])
def test_a_row_s_forecast_has_not_seen_its_block(
    horizon: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forecasts, "_PENALTIES", (0.03, np.inf))  # the block may choose, too
    market = signal_market(seed=2)
    before = fit_forecast(market.log, folds=5, embargo=3, horizon=horizon)
    gains = market.log.gains.copy()
    block = slice(200 + 40, 200 + 80)  # second series, second fifth
    gains[block] += 0.5
    changed = Log(market.log.features, gains, market.log.series)
    after = fit_forecast(changed, folds=5, embargo=3, horizon=horizon)
    assert before.penalties == after.penalties
    inside = np.tile(np.repeat(np.arange(5), 40), 4) == 1
    # the one thing that all rows decide together is how far the forecasts are shrunk
    shapes = [each.values[:, 0] / each.shrinkage[0] for each in (before, after)]
    assert not np.allclose(*(each[~inside] - each[~inside].mean() for each in shapes))
    first, second = (each[inside] - each[inside].mean() for each in shapes)
    np.testing.assert_allclose(first, second, rtol=1e-9, atol=1e-12)


def test_the_forecast_is_the_ridge_regression_of_scikit_learn() -> None:
    from sklearn.linear_model import Ridge

    rng = np.random.default_rng(0)
    x = rng.standard_normal((400, 3)) * [1.0, 5.0, 0.1] + [0.0, 2.0, -1.0]
    gains = (x @ [0.3, 0.02, -2.0] + rng.standard_normal(400))[:, None]
    log = Log(x.astype(np.float32), gains, series_of(400, 1))
    found = fit_forecast(log, folds=4, embargo=0, powers=(0.0,))
    x = log.features.astype(np.float64)
    scaled = (x - x.mean(axis=0)) / x.std(axis=0)
    inside = np.arange(400) < 100
    model = Ridge(alpha=300 * found.penalties[0]).fit(scaled[~inside], gains[~inside, 0])
    mean = gains[~inside, 0].mean()
    expected = mean + found.shrinkage[0] * (model.predict(scaled[inside]) - mean)
    np.testing.assert_allclose(found.values[inside, 0], expected, rtol=1e-9)
    assert found.r2[0] > 0.1


def lasting_and_passing(n: int, strength: float, seed: int = 0) -> Log:
    """Feature 0 has an AR(1) coefficient of .95, feature 1 none; both tell the same of a gain."""
    rng = np.random.default_rng(seed)
    lasting = lfilter([np.sqrt(1.0 - 0.95**2)], [1.0, -0.95], rng.standard_normal(n))
    x = np.stack([lasting, rng.standard_normal(n)], axis=1).astype(np.float32)
    gains = strength * x.sum(axis=1, keepdims=True) + rng.standard_normal((n, 1))
    return Log(x, gains, series_of(n, 1))


def test_a_longer_horizon_weighs_what_lasts() -> None:
    """Of the mean of five gains a feature that lasts one bar tells a fifth; and what is said is
    said of one gain."""
    log = lasting_and_passing(100_000, 0.2)
    one, five = (fit_forecast(log, horizon=h, powers=(0.0,)) for h in (1, 5))
    lasting, passing = one.coefficients[:, 0]
    assert passing == pytest.approx(lasting, rel=0.05)
    lasting, passing = five.coefficients[:, 0]
    expected = 0.2 / np.mean(0.95 ** np.arange(5))
    assert passing / lasting == pytest.approx(expected, rel=0.15)
    slope = stats.linregress(five.values[:, 0], log.gains[:, 0]).slope
    assert slope == pytest.approx(1.0, abs=0.01)


def test_the_mean_ahead_ends_with_its_series() -> None:
    gains = np.arange(8.0)[:, None]
    log = Log(np.zeros((8, 1), np.float32), gains, np.array([[0, 5], [5, 8]]))
    expected = [1.0, 2.0, 3.0, 3.5, 4.0, 6.0, 6.5, 7.0]
    np.testing.assert_allclose(forecasts._mean_ahead(log, 3)[:, 0], expected)
    assert forecasts._mean_ahead(log, 1) is log.gains


def test_a_user_s_own_feature_is_taken_alone_unless_others_tell_more() -> None:
    """A weak signal among thirty others: alone it is found, where thirty errors have a least one by
    luck; and what all features tell is not given up for an own one that tells nothing."""
    found: dict[str, list[float]] = {"unnamed": [], "own": []}
    told: dict[str, list[str]] = {"unnamed": [], "own": []}
    for seed in range(8):
        rng = np.random.default_rng(seed)
        x = rng.standard_normal((3_000, 33)).astype(np.float32)
        gains = (0.05 * x[:, 0] + rng.standard_normal(3_000))[:, None]
        for name, own in (("unnamed", None), ("own", np.arange(33) < 1)):
            fitted = fit_forecast(Log(x, gains, series_of(3_000, 1), own))
            foretold = (x @ fitted.coefficients)[:, 0]
            right = np.corrcoef(foretold, x[:, 0])[0, 1] if foretold.std() > 0.0 else 0.0
            found[name].append(float(right))
            told[name] += fitted.told()
    assert np.mean(found["own"]) > 0.98
    assert np.mean(found["unnamed"]) < 0.9
    assert told["unnamed"] == []
    assert told["own"]
    assert all("takes your own features alone" in each for each in told["own"])
    strong = (0.5 * x[:, 1] + rng.standard_normal(3_000))[:, None]
    fitted = fit_forecast(Log(x, strong, series_of(3_000, 1), np.arange(33) < 1))
    assert not fitted.alone[0]
    assert fitted.told() == ()
    assert fitted.coefficients[1, 0] == pytest.approx(0.5, abs=0.06)
    with pytest.raises(DataError, match="own of shape"):
        Log(x, strong, series_of(3_000, 1), np.arange(5) < 1)


def test_own_features_that_tell_nothing_foretell_less_than_the_best_of_thirty() -> None:
    left: dict[str, list[float]] = {"unnamed": [], "own": []}
    for seed in range(8):
        rng = np.random.default_rng(seed)
        x = rng.standard_normal((3_000, 33)).astype(np.float32)
        gains = rng.standard_normal((3_000, 1))
        for name, own in (("unnamed", None), ("own", np.arange(33) < 1)):
            fitted = fit_forecast(Log(x, gains, series_of(3_000, 1), own))
            left[name].append(float((x @ fitted.coefficients).std()))
    assert np.mean(left["own"]) < 0.005 < np.mean(left["unnamed"])
    assert np.mean(np.array(left["own"]) == 0.0) >= 0.75


def test_one_feature_that_tells_something_is_found_among_many_that_do_not() -> None:
    """Twelve years of days, a coefficient of .10: plain ridge follows the others as well. Where
    all features tell the same little, plain ridge is at least as good, and nothing is lost."""
    found: dict[str, list[tuple[float, float]]] = {"one": [], "all": []}
    for seed in range(6):
        rng = np.random.default_rng(seed)
        x = rng.standard_normal((3_000, 33)).astype(np.float32)
        noise = rng.standard_normal(3_000)
        for name, signal in (("one", x[:, 7]), ("all", x.sum(axis=1) / np.sqrt(33.0))):
            strength = 0.1 if name == "one" else 0.3
            log = Log(x, (strength * signal + noise)[:, None], series_of(3_000, 1))
            plain, chosen = (
                np.corrcoef((x @ each.coefficients)[:, 0], signal)[0, 1]
                for each in (fit_forecast(log, powers=(0.0,)), fit_forecast(log))
            )
            found[name].append((plain, chosen))
    plain, chosen = np.mean(found["one"], axis=0)
    assert plain < 0.8
    assert chosen > 0.9
    plain, chosen = np.mean(found["all"], axis=0)
    assert chosen > plain - 0.02


def test_the_control_variate_changes_no_expectation() -> None:
    """With the true forecast: the same mean reward, less variance, over many draws of noise."""
    rng = np.random.default_rng(1)
    position = rng.uniform(-1, 1, 200_000)
    foretold, noise = 0.1 * rng.standard_normal(200_000), rng.standard_normal(200_000)
    rewards = position * (foretold + noise)
    controlled = rewards - position * noise
    error = rewards.std() / np.sqrt(len(rewards))
    assert abs(rewards.mean() - controlled.mean()) < 3 * error
    assert controlled.std() < 0.2 * rewards.std()


def test_objectives_are_their_formulas() -> None:
    rewards = torch.tensor([[0.1, -0.3, 0.2, 0.0], [0.3, -0.1, 0.0, -0.2]], dtype=torch.float64)
    r = rewards.numpy()
    expected = {
        "growth": r.mean(),
        "mean_variance": r.mean() - 1.5 * r.var(),
        "quadratic": (r - 1.5 * r**2).mean(),
        "sharpe": r.mean() / np.sqrt(r.var() + 0.01),
        "cvar": np.sort(r.mean(axis=0))[:2].mean(),
    }
    for name, value in expected.items():
        config = DirectConfig(objective=name, risk_aversion=3.0, tail=0.5)  # type: ignore[arg-type]
        assert float(objective(rewards, config)) == pytest.approx(value, rel=1e-12), name


def test_of_two_policies_with_one_sharpe_ratio_the_larger_is_better() -> None:
    """Without costs the ratio of a position does not depend on its size; a small one is no policy
    to trade by."""
    rewards = torch.tensor([[0.1, -0.3, 0.5, 0.1]], dtype=torch.float64)
    config = DirectConfig(objective="sharpe")
    values = [float(objective(share * rewards, config, 0.3)) for share in (0.02, 0.2, 1.0)]
    ratio = float(rewards.mean() / rewards.std(correction=0))
    assert values[0] < 0.3 * ratio
    assert values[0] < values[1] < values[2]
    assert values[2] == pytest.approx(ratio, rel=0.01)


def test_of_policies_with_one_sharpe_ratio_the_one_with_the_asked_for_risk_is_best() -> None:
    """Without costs the ratio of a position does not depend on its size: windows trained apart
    would hold two percent or all, and the joined curve would be that of the largest."""
    rewards = torch.tensor([[0.1, -0.3, 0.5, 0.1]], dtype=torch.float64)
    rewards /= rewards.std(correction=0)
    for target in (0.2, 0.5):
        config = DirectConfig(objective="sharpe", risk_target=target)
        sizes = torch.linspace(0.02, 2.0, 100, dtype=torch.float64)
        values = [float(objective(0.3 * size * rewards, config, 0.3)) for size in sizes]
        assert float(sizes[int(np.argmax(values))]) == pytest.approx(target, abs=0.011)
        assert max(values) == pytest.approx(float(rewards.mean()), rel=1e-3)
        losing = [float(objective(-0.3 * size * rewards, config, 0.3)) for size in sizes]
        assert losing == sorted(losing, reverse=True)  # less of what loses is better at any size


def test_slopes_of_a_loss_do_not_lead_to_holding_nothing() -> None:
    """They did: a training that began at a loss ended at no trade, where there are no slopes."""
    rewards = torch.tensor([[0.1, -0.3, 0.5, -0.4]], dtype=torch.float64)
    rewards /= rewards.std(correction=0)
    config = DirectConfig(objective="sharpe", risk_target=0.25)
    slopes = {}
    for shift in (-1e-6, 1e-6):
        r = (0.25 * (rewards - rewards.mean()) + shift).requires_grad_()
        objective(r, config).backward()  # type: ignore[no-untyped-call]
        assert r.grad is not None
        slopes[shift] = float(r.grad.sum())
    assert slopes[-1e-6] == pytest.approx(slopes[1e-6], rel=0.1)
    assert float(rewards.mean()) < 0.0
    size = torch.ones((), dtype=torch.float64, requires_grad=True)
    value = objective(size * rewards, config)
    value.backward()  # type: ignore[no-untyped-call]
    assert size.grad is not None
    assert abs(float(size.grad)) < 0.02 * abs(float(value.detach()))  # it was all of the value


def test_risk_is_that_of_the_realised_rewards() -> None:
    """What has lost its noise has lost its risk: only its mean counts."""
    rewards = torch.tensor([[0.01, 0.02, 0.03, 0.02]], dtype=torch.float64)
    realised = torch.tensor([[0.1, -0.3, 0.2, 0.0]], dtype=torch.float64)
    x = realised.numpy() / 0.1
    expected = {
        "growth": 0.2,
        "mean_variance": 0.2 - 1.5 * x.var(),
        "quadratic": 0.2 - 1.5 * (x**2).mean(),
        "sharpe": 0.2 / np.sqrt(x.var() + 0.01),
        "cvar": np.sort(x[0])[:2].mean(),
    }
    for name, value in expected.items():
        config = DirectConfig(objective=name, risk_aversion=3.0, tail=0.5)  # type: ignore[arg-type]
        found = float(objective(rewards, config, 0.1, realised))
        assert found == pytest.approx(value, rel=1e-12), name


def test_components_are_their_formulas_and_have_slopes() -> None:
    """In plain numpy, window by window; the gradient against central differences."""
    from offline_trader.learning.stages.direct.objectives import of_components

    rng = np.random.default_rng(0)
    realised, climbed = 0.03 * rng.standard_normal((2, 30, 4))
    x, weights = np.expm1(realised), (0.5, 0.3, 0.0, 0.0, 0.0, 0.2)
    risk = 0.0
    for window, equity in zip(x.T, np.exp(realised.cumsum(axis=0)).T, strict=True):
        fallen = 1.0 - equity / np.maximum.accumulate(np.append(1.0, equity))[1:]
        var95 = -np.sort(window)[1]  # ⌈0.05 · 30⌉ = 2
        risk += np.expm1(10 * np.maximum(0, fallen - 0.05)).mean() + max(0, var95 - 0.02)
        risk += window.std()
    profit = climbed.mean() - 0.5 * np.maximum(0, -realised.mean(axis=0)).mean()
    expected = (0.5 * profit - 0.3 * risk / 4) / 0.02 + 0.2 * x.mean() / x.std()
    given = [torch.from_numpy(each).requires_grad_() for each in (climbed, realised)]
    found = of_components(given[0], given[1], weights, 0.02)
    assert float(found.detach()) == pytest.approx(expected, rel=1e-9)
    assert torch.autograd.gradcheck(lambda r: of_components(given[0], r, weights, 0.02), given[1])
    with pytest.raises(ConfigError, match="above 0 of activity, timing"):
        DirectConfig(weights=(0.5, 0.2, 0.1, 0.2, 0.0, 0.0))


@pytest.mark.parametrize("noise", ["as it is", "taken off"])
@pytest.mark.parametrize("name", ["mean_variance", "quadratic", "sharpe", "cvar", "components"])
def test_risk_averse_objectives_hold_less(name: Any, noise: str) -> None:
    """On a weak signal the best position is a fraction, where growth alone takes all of it."""
    sizes = {}
    for chosen in ("growth", name):
        learner = learner_of()
        config = DirectConfig(
            updates=80,
            windows=64,
            bars=8,
            learning_rate=0.02,
            objective=chosen,
            risk_aversion=4.0,
            forecast_weight=float(noise == "taken off"),
        )
        train_direct(learner, signal_market(strength=0.3), config)
        seen = np.stack([np.linspace(-2, 2, 41), np.zeros(41)], axis=1).astype(np.float32)
        sizes[chosen] = float(np.abs(learner.act(seen)).mean())
    assert sizes[name] < sizes["growth"]


def test_the_pull_keeps_the_policy_near_the_one_it_began_with() -> None:
    moved = {}
    for weight in (0.0, 100.0):
        learner = learner_of()
        seen = np.random.default_rng(0).standard_normal((100, 2)).astype(np.float32)
        before = learner.act(seen)
        config = DirectConfig(
            updates=40, windows=32, bars=8, market_input="features", clone_weight=weight
        )
        train_direct(learner, signal_market(), config)
        moved[weight] = float(np.abs(learner.act(seen) - before).mean())
    assert moved[100.0] < 0.3 * moved[0.0]


def test_weights_decay_and_features_are_noisy() -> None:
    """Each setting changes what is trained, in its direction."""

    def trained(**settings: Any) -> Learner:
        learner = learner_of()
        train_direct(learner, signal_market(), replace(TINY, updates=30, **settings))
        return learner

    def size(learner: Learner) -> float:
        policy = learner.algo.impl.policy
        return float(sum(p.detach().square().sum() for p in policy.parameters() if p.ndim > 1))

    plain = trained()
    assert size(trained(weight_decay=5.0)) < 0.9 * size(plain)
    assert weights(trained(feature_noise=0.5)) != weights(plain)


def test_an_interrupted_training_resumes_to_the_same_bytes() -> None:
    saved: dict[int, bytes] = {}

    def keep(step: int, state: dict[str, Any]) -> None:
        buffer = io.BytesIO()
        torch.save(_canonical(state), buffer)  # as a run's checkpoint is written
        saved[step] = buffer.getvalue()

    def score(policy: Any) -> Mapping[str, float]:
        return {"score": float(np.mean(policy(np.ones((3, 2), np.float32))))}

    config = replace(TINY, evaluate_interval=2, feature_noise=0.1, weight_decay=0.01)
    whole = learner_of()
    rows: list[Any] = []
    result = train_direct(
        whole, signal_market(), config, lambda s, r: rows.append((s, dict(r))), score, keep, seed=1
    )
    assert sorted(saved) == [3, 6]
    last = saved.pop(6)
    resumed = learner_of(seed=9)
    tail: list[Any] = []
    state = torch.load(io.BytesIO(saved[3]), weights_only=True)
    again = train_direct(
        resumed,
        signal_market(),
        config,
        lambda s, r: tail.append((s, dict(r))),
        score,
        keep,
        seed=1,
        resume=state,
    )
    assert weights(resumed) == weights(whole)
    assert again == result
    assert saved[6] == last
    assert tail == [row for row in rows if row[0] > 3]


def test_the_best_policy_by_validation_is_kept() -> None:
    """A validator that likes only the warm start gets it back."""
    learner = learner_of()
    seen = np.ones((4, 2), np.float32)
    first = learner.act(seen)

    def score(policy: Any) -> Mapping[str, float]:
        return {"score": -float(np.abs(policy(seen) - first).max())}

    result = train_direct(learner, signal_market(), TINY, evaluate=score)
    assert result.kept == "warm_start"
    np.testing.assert_array_equal(learner.act(seen), first)


def test_without_a_validator_the_log_itself_chooses() -> None:
    """The state that climbs most on the log is kept, whichever update it was."""
    config = DirectConfig(updates=60, windows=64, bars=8, learning_rate=0.05, evaluate_interval=2)
    market, rows = signal_market(), []
    learner = learner_of()
    result = train_direct(learner, market, config, lambda s, r: rows.append((s, dict(r))))
    scores = {step: row["validation/score"] for step, row in rows if "validation/score" in row}
    assert set(scores) == {0, *range(2, 61, 2)}
    assert result.kept_score == max(scores.values())
    assert result.kept_score is not None
    assert scores[result.kept_step] == result.kept_score
    assert result.kept_score > 0.3
    # the score is what the kept policy climbs on the log: position times the forecast gain
    forecast = fit_forecast(market.log).values[:, 0]
    position = np.zeros(len(forecast))
    for first, stop in market.log.series:
        for row in range(first, stop):
            seen = [[market.log.features[row, 0], position[row - 1] if row > first else 0.0]]
            position[row] = learner.act(np.array(seen, np.float32))[0, 0]
    climbed = np.mean(position * forecast) / market.log.gains.std()
    assert climbed == pytest.approx(result.kept_score, rel=0.05)


def test_without_an_interval_the_last_policy_is_kept() -> None:
    result = train_direct(learner_of(), signal_market(), replace(TINY, evaluate_interval=0))
    assert result.kept == "last"
    assert result.kept_score is None


@pytest.mark.parametrize("algorithm", ["cql", "iql", "td3_plus_bc"])
def test_the_forecast_goes_into_the_actor(algorithm: Any) -> None:
    """The whole actor on raw features acts as the small policy does on the forecasts in use."""
    rng = np.random.default_rng(0)
    x = (rng.standard_normal((600, 3)) * [1.0, 20.0, 0.01]).astype(np.float32)
    size = np.where(x[:, 0] > 0.0, 2.0, 0.5)
    gains = (x @ [0.3, 0.01, -20.0] + size * rng.standard_normal(600))[:, None]
    market = PositionMarket(Log(x, gains, series_of(150)), scale=2.0)
    mean, scale = np.array([0.1, -2.0, 0.0, 0.5]), np.array([1.0, 20.0, 0.01, 2.0])
    scaler = Preprocessing(mean, scale, None, 0.9)
    learner = make_learner(LearnerConfig(algorithm=algorithm, hidden=(8, 8)), 4, scaler)
    forecast, volatility = fit_forecast(market.log), fit_volatility(market.log)
    through = ForecastPolicy(learner, market, forecast, volatility, seed=3)
    through.write()
    gain = (x.astype(np.float64) @ forecast.coefficients + forecast.intercept)[:, 0]
    moved = x.astype(np.float64) @ volatility.coefficients + volatility.intercept
    pairs = (gain, forecast.values), (moved, volatility.values)
    seen = [(used - told.mean()) / told.std() for used, told in pairs]
    position = rng.uniform(-2, 2, 600)
    small = through.learner.act(np.stack([*seen, position], axis=1).astype(np.float32))
    large = learner.act(np.concatenate([x, position[:, None]], axis=1).astype(np.float32))
    np.testing.assert_allclose(large, small, atol=2e-5)
    assert np.abs(small).max() > 0.01
    np.testing.assert_allclose(through.market.log.features.std(axis=0), 1.0, rtol=1e-5)


def test_a_market_without_a_forecast_is_not_looked_at() -> None:
    """Noise that no penalty foretells: the same action whatever the features are."""
    rng = np.random.default_rng(3)
    x = rng.standard_normal((600, 5)).astype(np.float32)
    market = PositionMarket(Log(x, rng.standard_normal((600, 1)), series_of(150)))
    assert fit_forecast(market.log).shrinkage[0] == 0.0
    learner = learner_of(size=6)
    train_direct(learner, market, TINY)
    seen = np.concatenate([x[:50], np.full((50, 1), 0.3, np.float32)], axis=1)
    assert np.ptp(learner.act(seen)) < 1e-6


def test_a_window_is_no_longer_than_the_longest_series() -> None:
    short, long = learner_of(), learner_of()
    train_direct(short, signal_market(), replace(TINY, bars=200))
    train_direct(long, signal_market(), replace(TINY, bars=1_000))
    assert weights(short) == weights(long)
    with pytest.raises(DataError, match="longest series has 200"):
        signal_market().log.starts(201)


def test_what_cannot_be_trained_on_is_refused() -> None:
    with pytest.raises(ConfigError, match="2 columns"):
        train_direct(learner_of(size=3), signal_market(), TINY)
    with pytest.raises(ConfigError, match="M2"):
        logged_market("M2")
    with pytest.raises(ConfigError, match="clone_weight=1 with market_input=forecast"):
        DirectConfig(clone_weight=1)
    with pytest.raises(ConfigError, match="objective='profit'"):
        DirectConfig(objective="profit")  # type: ignore[arg-type]
    bad = np.zeros((10, 1))
    bad[3] = np.nan
    with pytest.raises(DataError, match="row 3"):
        Log(np.zeros((10, 1), np.float32), bad, series_of(10, 1))


def test_divergence_is_named() -> None:
    learner = learner_of()
    with torch.no_grad():
        next(iter(learner.algo.impl.policy.parameters())).fill_(float("nan"))
    with pytest.raises(OfflineTraderError, match="diverged"):
        train_direct(learner, signal_market(), replace(TINY, market_input="features"))


def test_windows_come_from_every_series_and_stay_inside() -> None:
    from offline_trader.learning.stages.direct.training import DirectTraining

    training = DirectTraining(learner_of(), signal_market(), replace(TINY, windows=32), 0)
    seen = set()
    for _ in range(20):
        rows = training._batch().rows.numpy()
        assert (rows // 200 == rows[:1] // 200).all()
        seen |= set((rows[0] // 200).tolist())
    assert seen == {0, 1, 2, 3}
