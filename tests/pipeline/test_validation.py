"""The validation range: where it may lie, and that it is checked before anything is trained."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from numpy.typing import NDArray

from offline_trader.envs import EnvConfig, make_market
from offline_trader.errors import ConfigError, DataError
from offline_trader.evaluation.judging import EvaluateOptions, evaluate
from offline_trader.experts import ExpertPolicy, get_expert
from offline_trader.features import observation_layout
from offline_trader.markets import BarRange, load_market
from offline_trader.pipeline.folds import window_env
from offline_trader.pipeline.validation import ValidationConfig, Validator
from offline_trader.simulator import SimulatorConfig
from offline_trader.types import Observations, Policy

TRAINING = EnvConfig(end="2012")
TRAINED, VALIDATED = "2000-08-31", "2000-11-20"  # of 8,000 synthetic hours


def test_a_year_as_the_trainings_end_is_included_as_a_whole() -> None:
    env = ValidationConfig(end="2014").env(TRAINING)
    assert env is not None
    # 2012-12-31 is the last training bar; five bars are left out.
    assert (env.start, env.end) == ("2013-01-09", "2014")
    assert (env.episode_bars, env.random_start) == (None, False)


@pytest.mark.parametrize("start", ["2012-06-01", "2012-12-31", "2012"])
def test_a_validation_inside_the_training_range_is_refused(start: str) -> None:
    with pytest.raises(ConfigError, match=r"validation\.start is 2012"):
        ValidationConfig(start=start, end="2014-12-31").env(TRAINING)


@pytest.mark.parametrize("end", ["2009-01-01", "2012-12-31", "2013-01-08"])
def test_a_validation_that_ends_before_it_begins_is_refused(end: str) -> None:
    with pytest.raises(ConfigError, match=rf"validation\.end is {end}"):
        ValidationConfig(end=end).env(TRAINING)


def test_a_range_without_bars_is_refused() -> None:
    with pytest.raises(DataError, match="no bars from 2030-01-01 to 2031"):
        ValidationConfig(start="2030-01-01", end="2031").env(TRAINING)


def test_a_day_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigError, match="date 'soon' cannot be read"):
        ValidationConfig(end="soon").env(TRAINING)


def test_validation_chooses_by_the_measure_that_evaluation_judges_by() -> None:
    """Two instruments: the account's Sharpe ratio, not the mean of the instruments'."""
    env = EnvConfig(market=("sp500", "nasdaq"), start="2013-01-01", end="2014-12-31")
    layout = observation_layout()
    policy = ExpertPolicy(get_expert("technical"), layout, env.simulator)
    found = Validator(env, ValidationConfig(end="2014-12-31"))(policy)
    scored = found.measures
    brief = EvaluateOptions(costs_bps=(), delay_bars=0, noise_draws=0, oracle=False, replicates=100)
    judged = evaluate(get_expert("technical"), env, brief)
    assert scored["sharpe"] == judged.measures["sharpe"] == pytest.approx(2.100, abs=5e-4)
    assert judged.curve is not None
    growth = np.diff(np.log(judged.curve.equity))
    np.testing.assert_allclose(found.growth, growth, rtol=1e-12)
    assert judged.collapse is not None
    for name in ("trades_per_1000", "n_effective", "hold_share"):
        assert scored[name] == judged.collapse[name]
    alone = [each.measures["sharpe"] for each in judged.instruments]
    assert sum(value for value in alone if value is not None) / 2 == pytest.approx(1.724, abs=5e-4)


def test_a_policy_that_never_trades_is_no_candidate() -> None:
    def seller(observations: Observations, /) -> NDArray[np.float32]:
        return np.where(observations[:, :1] > 0.5, -1.0, -0.3).astype(np.float32)

    env = EnvConfig(start="2013-01-01", end="2014-12-31")
    found = Validator(env, ValidationConfig(end="2014-12-31", min_trades_per_1000=0.0))(seller)
    assert not found.active
    assert np.isnan(found.measures["score"])
    assert found.measures["trades_per_1000"] == 0.0
    assert found.measures["collapsed"] == 1.0


def test_a_policy_that_hardly_invests_is_no_candidate() -> None:
    """It holds seven hundredths of the equity every other day, by what it sees."""

    def timid(observations: Observations, /) -> NDArray[np.float32]:
        return np.where(observations[:, :1] > 0.0, 0.07, 0.0).astype(np.float32)

    rules = SimulatorConfig(
        action_mode="target_long", min_notional=0.0, dust_notional=0.0, rebalance_threshold=0.0
    )
    env = EnvConfig(start="2013-01-01", end="2014-12-31", simulator=rules)
    for least, active in ((0.0, True), (0.05, False)):
        found = Validator(env, ValidationConfig(end="2014-12-31", min_exposure=least))(timid)
        assert found.active == active, found.measures
        assert 0.0 < found.measures["mean_exposure"] < 0.05


@pytest.mark.parametrize("fill", ["next_open", "close"])
def test_foretold_growth_has_the_noise_of_the_gains_taken_off(
    fill: Literal["next_open", "close"],
) -> None:
    """Mean reversion is planted. Of policies that trade on it the difference of foretold
    growth has less than a quarter of the realised variance and, within its noise, its mean."""
    rules = SimulatorConfig(action_mode="target_long_short", commission_bps=0.0, fill=fill)
    source = ("synthetic:ou?seed=3&k=0.3&bars=8000",)
    env = EnvConfig(market=source, end=TRAINED, simulator=rules)
    config = ValidationConfig(end=VALIDATED)
    validated = config.env(env)
    assert validated is not None
    column = env.layout.features.index("return_5")

    def policy(size: float) -> Policy:
        return lambda seen, /: (-size * np.tanh(30.0 * seen[:, column : column + 1])).astype(
            np.float32
        )

    validator = Validator(validated, config, env)
    small, large = (validator(policy(size)) for size in (0.2, 0.8))
    assert small.foretold is not None
    assert large.foretold is not None
    realised, foretold = large.growth - small.growth, large.foretold - small.foretold
    assert foretold.var() < 0.25 * realised.var()
    error = realised.std() / np.sqrt(len(realised))
    assert abs(foretold.mean() - realised.mean()) < 3.0 * error
    assert foretold.mean() > 10.0 * foretold.std() / np.sqrt(len(foretold))
    assert Validator(validated, config)(policy(0.2)).foretold is None
    assert Validator(validated, config, env, 0.0)(policy(0.2)).foretold is None


def test_where_nothing_is_foretold_the_choice_is_by_what_happened() -> None:
    env = EnvConfig(market=("synthetic:walk?seed=1&bars=8000",), end=TRAINED)
    config = ValidationConfig(end=VALIDATED)
    validated = config.env(env)
    assert validated is not None
    policy = ExpertPolicy(get_expert("technical"), observation_layout(), env.simulator)
    assert Validator(validated, config, env)(policy).foretold is None


@pytest.mark.parametrize("end", ["2000-08-31", "2000-08-31T12:00", "2000-08-31T21:00"])
def test_the_gap_is_left_out_of_bars_within_a_day_too(end: str) -> None:
    """A day alone would begin the validation at its midnight, without the gap or in training."""
    env = EnvConfig(market=("synthetic:walk?seed=1&bars=8000",), end=end)
    validated = ValidationConfig(end=VALIDATED, gap_bars=5).env(env)
    assert validated is not None
    trained, chosen = make_market(env), make_market(validated)
    last, first = trained.timestamps[trained.stop[0] - 1], chosen.timestamps[chosen.start[0]]
    assert first - last == np.timedelta64(6, "h")


def test_bars_within_a_second_are_told_apart(tmp_path: Path) -> None:
    """Dates to the second began the validation, or ended a window, on a neighbour of the bar."""
    file = tmp_path / "ticks.csv"
    stamps = np.datetime64("2020-01-01T00:00", "ms") + 500 * np.arange(600)
    rows = (f"{stamp},{100 + i % 7},110,90,{100 + i % 5},1" for i, stamp in enumerate(stamps))
    file.write_text("\n".join(["timestamp,open,high,low,close,volume", *rows]))
    env, bars = EnvConfig(market=(str(file),), end="2020-01-01T00:01"), load_market(str(file))
    validated = ValidationConfig(end="2020-01-01T00:03", gap_bars=3).env(env)
    assert validated is not None
    first, trained = (
        bars.rows_between(validated.start, None)[0],
        bars.rows_between(None, env.end)[1],
    )
    assert first == trained + 3
    window = window_env(env, bars, BarRange(301, 400))
    assert bars.rows_between(window.start, window.end) == (301, 400)
