"""A session is the evaluation, bar by bar, and every odd bar has a stated answer."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from offline_trader.envs import EnvConfig
from offline_trader.errors import ConfigError, DataError, SchemaMismatch
from offline_trader.evaluation.backtest import EvaluationRange
from offline_trader.evaluation.backtest.evaluation_range import Scenario
from offline_trader.export import OnnxPolicy
from offline_trader.features import FEATURE_SETS, FeatureSchema
from offline_trader.markets import Bar, Bars, load_market
from offline_trader.serving import Decision, Hold, Holdings, Order, Session
from offline_trader.simulator import SimulatorConfig
from offline_trader.types import FloatArray

MakeModel = Callable[..., Path]
RULES: dict[str, SimulatorConfig] = {
    "order": SimulatorConfig(),
    "order, smoothed, at the close": SimulatorConfig(fill="close", smoothing_alpha=0.3),
    "order, lots and volume": SimulatorConfig(volume_cap=0.001, impact_bps=50.0, lot_size=0.5),
    "long, after costs": SimulatorConfig(
        action_mode="target_long", sizing="post_fee", rebalance_threshold=0.05, commission_bps=2.0
    ),
    "long and short, smoothed": SimulatorConfig(
        action_mode="target_long_short", smoothing_alpha=0.5, borrow_bps_per_year=300.0
    ),
}


@pytest.fixture(scope="module")
def five_minutes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CSV of five-minute bars in sessions of 78, with a week-end after every five."""
    rng = np.random.default_rng(4)
    minutes = np.arange(78) * np.timedelta64(5, "m")
    days = np.datetime64("2024-01-08T14:30") + (
        np.arange(15) + 2 * (np.arange(15) // 5)
    ) * np.timedelta64(1, "D")
    times = (days[:, None] + minutes).ravel()
    close = 50.0 * np.exp(np.cumsum(rng.normal(0.0, 2e-3, len(times))))
    open_ = np.concatenate([[50.0], close[:-1]]) * np.exp(rng.normal(0.0, 5e-4, len(times)))
    path = tmp_path_factory.mktemp("bars") / "five.csv"
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["time", "open", "high", "low", "close", "volume"])
        for t, o, c, v in zip(times, open_, close, rng.integers(0, 900, len(times)), strict=True):
            o, c = round(float(o), 3), round(float(c), 3)
            rows.writerow([f"{t}Z", o, max(o, c) + 0.01, min(o, c) - 0.01, c, int(v)])
    return path


def walk(session: Session, bars: Bars, start: int) -> list[Decision]:
    session.warm_up(bars.slice(0, start))
    return [session.on_bar(bar) for bar in bars.slice(start, len(bars))]


@pytest.mark.parametrize("rules", RULES.values(), ids=RULES)
@pytest.mark.parametrize("market", ["sp500", "five.csv"])
def test_a_session_over_a_market_is_its_evaluation(
    market: str, rules: SimulatorConfig, make_model: MakeModel, five_minutes: Path
) -> None:
    source = market if market == "sp500" else str(five_minutes)
    model = make_model(rules)
    env = EnvConfig(market=(source,), simulator=rules)
    found = EvaluationRange.from_env(env)
    ((run,),) = found.backtests(OnnxPolicy(model), [Scenario(rules)])
    bars = load_market(source)
    decisions = walk(Session(model), bars, found.instruments[0].range.start)
    assert len(decisions) == len(run.equity) > 300
    equity = np.array([d.portfolio.equity for d in decisions])
    np.testing.assert_allclose(equity, run.equity, rtol=1e-9)
    actions = np.array([d.action for d in decisions[:-1]])
    np.testing.assert_allclose(actions, run.actions, rtol=0.0, atol=1e-9)
    filled = np.array([d.fill.units for d in decisions[1:]])
    np.testing.assert_allclose(filled, run.units, rtol=1e-9, atol=1e-9)
    assert np.count_nonzero(filled) > 50
    seen = np.array([d.observation for d in decisions[:-1]])
    np.testing.assert_array_equal(seen, run.observations)
    assert decisions[-1].portfolio.costs == pytest.approx(run.costs_paid, rel=1e-9)


def test_an_order_sized_at_the_close_is_what_fills_there(make_model: MakeModel) -> None:
    bars = load_market("synthetic:ou?bars=500&seed=3")
    decisions = walk(Session(make_model(SimulatorConfig(fill="close"))), bars, 260)
    orders = [d.order for d in decisions[:-1]]
    filled = [d.fill.units for d in decisions[1:]]
    assert [0.0 if each is None else each.units for each in orders] == filled
    assert sum(each is not None for each in orders) > 20
    assert all((d.order is None) == (d.hold is not None) == bool(d.because) for d in decisions)
    sides = {(each.side, each.units > 0.0) for each in orders if each is not None}
    assert sides == {("buy", True), ("sell", False)}
    assert Order(-2.0, 50.0, "close").notional == 100.0


@pytest.fixture
def bars() -> Bars:
    return load_market("synthetic:ou?bars=400&seed=7")


@pytest.fixture
def session(policy: OnnxPolicy, bars: Bars) -> Session:
    """After 300 bars, of which it decided on the last ten."""
    session = Session(policy).warm_up(bars.slice(0, 290))
    for bar in bars.slice(290, 300):
        session.on_bar(bar)
    return session


def test_before_the_features_are_there_the_answer_is_hold(policy: OnnxPolicy, bars: Bars) -> None:
    session = Session(policy)
    early = [session.on_bar(bar) for bar in bars.slice(0, 252)]
    assert {d.hold for d in early} == {Hold.WARMING_UP}
    assert early[9].because == "10 of 253 bars that the features need"
    assert session.on_bar(bars[252]).action is not None


def test_a_repeated_bar_changes_nothing(session: Session, bars: Bars) -> None:
    before = session.portfolio
    again = session.on_bar(bars[299])
    assert (again.hold, again.order, again.action) == (Hold.REPEATED, None, None)
    other = Session(session.model).warm_up(bars.slice(0, 290))
    for bar in bars.slice(290, 300):
        other.on_bar(bar)
    assert session.portfolio == before
    assert session.on_bar(bars[300]).portfolio == other.on_bar(bars[300]).portfolio


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"close": np.nan}, "close is missing"),
        ({"open": np.inf, "high": np.inf}, "open is inf"),
        ({"low": -1.0}, "low is -1"),
        ({"high": 1e-9}, "high .* < "),
        ({"volume": -1.0}, "volume is -1"),
        ({"timestamp": np.datetime64("NaT")}, "the time is missing"),
        ({"timestamp": "the last"}, "appears twice"),
        ({"timestamp": "before"}, "comes after"),
    ],
)
def test_a_wrong_bar_is_refused_and_leaves_the_session_as_it_was(
    change: dict[str, Any], message: str, session: Session, bars: Bars
) -> None:
    places = {"the last": bars.timestamps[299], "before": bars.timestamps[298]}
    wrong = {key: places.get(value, value) for key, value in change.items()}
    before = session.portfolio, session.bars_seen
    with pytest.raises(DataError, match=message):
        session.on_bar(bars[300]._replace(**wrong))
    assert (session.portfolio, session.bars_seen) == before
    undisturbed = Session(session.model).warm_up(bars.slice(0, 290))
    for bar in bars.slice(290, 300):
        undisturbed.on_bar(bar)
    mine, other = session.on_bar(bars[300]), undisturbed.on_bar(bars[300])
    assert mine.portfolio == other.portfolio
    assert mine.action == other.action


def test_missing_and_late_bars_are_held_where_a_limit_is_set(
    policy: OnnxPolicy, bars: Bars
) -> None:
    hour = np.timedelta64(1, "h")
    session = Session(policy, max_gap=hour, max_age=np.timedelta64(60, "s"))
    session.warm_up(bars.slice(0, 299))
    at = bars.timestamps
    in_time = session.on_bar(bars[299], now=at[299] + np.timedelta64(59, "s"))
    assert in_time.action is not None
    gap = session.on_bar(bars[301], now=at[301])
    assert gap.hold is Hold.GAP
    assert gap.because == "2:00:00 after the bar before, 1:00:00 at most"
    late = session.on_bar(bars[302], now=at[302] + np.timedelta64(61, "s"))
    assert (late.hold, late.order) == (Hold.STALE, None)
    assert late.because == "the bar is 0:01:01 old, 0:01:00 at most"
    after = session.on_bar(bars[303], now=at[303])
    assert after.fill.units == 0.0  # nothing was ordered at a bar that was held
    assert after.action is not None
    assert Session(policy).warm_up(bars.slice(0, 299)).on_bar(bars[301]).action is not None


def test_an_instrument_that_stands_still_is_decided_on_as_in_training(
    make_model: MakeModel,
) -> None:
    n = 400
    flat = np.full(n, 20.0)
    days = np.datetime64("2020-01-01", "ns") + np.arange(n) * np.timedelta64(1, "D")
    bars = Bars("flat", days, flat, flat, flat, flat, np.zeros(n))
    rules = SimulatorConfig(volume_cap=0.1)
    decisions = walk(Session(make_model(rules)), bars, 300)
    assert all(d.action is not None for d in decisions)
    assert {d.hold for d in decisions} == {Hold.NO_VOLUME}
    assert decisions[-1].because == "nothing was traded at this bar, and fills depend on volume"


def test_features_without_a_value_are_held_and_the_session_goes_on(
    session: Session, bars: Bars
) -> None:
    session.on_bar(bars[300]._replace(volume=1.7e308))
    odd = session.on_bar(bars[301]._replace(volume=1.7e308))
    assert odd.hold is Hold.NO_FEATURES
    assert "volume_ratio_20 has no value" in odd.because
    later = [session.on_bar(bar).action for bar in bars.slice(302, 330)]
    assert later[-1] is not None


def test_a_price_whose_share_of_another_is_0_is_held(policy: OnnxPolicy, bars: Bars) -> None:
    session = Session(policy).warm_up(bars.slice(0, 300))
    least = bars[300]._replace(open=5e-324, high=5e-324, low=5e-324, close=5e-324)
    odd = session.on_bar(least)
    assert (odd.hold, "no numbers" in odd.because) == (Hold.NO_FEATURES, True)
    assert session.on_bar(bars[301]).portfolio.equity == odd.portfolio.equity


@pytest.mark.parametrize("close", [1e-45, 1e-200])
def test_a_feature_that_single_precision_cannot_hold_is_held(
    close: float, policy: OnnxPolicy, bars: Bars
) -> None:
    session = Session(policy).warm_up(bars.slice(0, 300))
    odd = session.on_bar(bars[300]._replace(low=close, close=close))
    assert odd.hold is Hold.NO_FEATURES
    assert math.isfinite(odd.portfolio.equity)


def test_a_function_of_ones_own_that_fails_is_held(make_model: MakeModel, bars: Bars) -> None:
    class Failing(Closes):
        def stream(self) -> Failing:
            return Failing()

        def update(self, bar: Bar) -> FloatArray:
            if bar.timestamp == bars.timestamps[12]:
                raise ConfigError("own.py:closes failed")
            return super().update(bar)

    layout = Closes.schema.layout
    model = make_model(layout=layout, weights=np.array([40.0, -0.5, 1.0, 0.0, 0.0, 0.0]))
    decisions = walk(Session(model, features=Failing()), bars.slice(0, 20), 5)
    held = decisions[7]
    assert (held.hold, held.because) == (Hold.NO_FEATURES, "own.py:closes failed")
    assert all(each.action is not None for each in decisions if each is not held)


def test_a_model_that_fails_is_held(policy: OnnxPolicy, bars: Bars) -> None:
    class Failing:
        layout = policy.layout

        def __call__(self, observations: Any, /) -> Any:
            return np.array([[np.nan]], dtype=np.float32)

    session = Session(Failing(), SimulatorConfig()).warm_up(bars.slice(0, 299))
    decision = session.on_bar(bars[299])
    assert (decision.hold, decision.because) == (Hold.NO_ACTION, "the model answers nan")


def test_ruin_is_final(make_model: MakeModel) -> None:
    bars = load_market("synthetic:ou?bars=420&seed=7&sigma=0.05")
    session = Session(make_model(SimulatorConfig(ruin_fraction=0.999)))
    decisions = walk(session, bars, 260)
    ruined = [d.hold is Hold.RUINED for d in decisions]
    assert any(ruined)
    assert all(ruined[ruined.index(True) :])


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_of_an_amended_order_what_was_sent_is_filled(
    share: float, make_model: MakeModel, bars: Bars
) -> None:
    model = make_model(SimulatorConfig(action_mode="target_long", smoothing_alpha=0.5))
    amended, other = (Session(model).warm_up(bars.slice(0, 300)) for _ in range(2))
    rows = iter(bars.slice(300, 400))
    while True:
        bar = next(rows)
        order = amended.on_bar(bar).order
        other.on_bar(bar)
        if order is not None:
            break
    amended.amend(share * order.units)
    bar = next(rows)
    after, unamended = amended.on_bar(bar), other.on_bar(bar)
    assert after.fill.units == share * order.units
    assert unamended.fill.units != 0.0
    assert after.portfolio.smoothed == unamended.portfolio.smoothed
    assert after.portfolio.cash >= 0.0


def test_the_brokers_holdings_take_the_place_of_the_account(
    make_model: MakeModel, bars: Bars
) -> None:
    """The observations of an account whose fills a broker reports are those of that account."""
    model = make_model(SimulatorConfig(action_mode="target_long", smoothing_alpha=0.5))
    own, told = (Session(model).warm_up(bars.slice(0, 300)) for _ in range(2))
    traded = 0
    for bar in bars.slice(300, 360):
        mine = own.on_bar(bar)
        p, traded = mine.portfolio, traded + (mine.fill.units != 0.0)
        theirs = told.on_bar(bar, holdings=Holdings(p.cash, p.units, p.entry))
        assert mine.observation is not None
        np.testing.assert_array_equal(theirs.observation, mine.observation)
    assert traded > 10


def test_a_broker_begins_with_what_is_there(policy: OnnxPolicy, bars: Bars) -> None:
    session = Session(policy).warm_up(bars.slice(0, 300))
    close = bars[300].close
    first = session.on_bar(bars[300], holdings=Holdings(50.0, 1.0, close))
    assert (first.portfolio.drawdown, first.hold is Hold.RUINED) == (0.0, False)
    assert first.portfolio.equity == 50.0 + close
    nothing: Any = None
    for wrong in (
        Holdings(-1.0, 0.0),
        Holdings(1.0, 2.0),
        Holdings(np.nan, 0.0),
        Holdings(nothing, 0.0),
        Holdings(1.0, 1.0, nothing),
        Holdings(1.0, 1e308, 100.0),  # their value would be the highest equity for good
        Holdings(1.7e308, 1e306, 100.0),
    ):
        before = session.bars_seen
        with pytest.raises(ConfigError, match="holdings"):
            session.on_bar(bars[301], holdings=wrong)
        assert session.bars_seen == before


def test_what_does_not_fit_is_refused(make_model: MakeModel, bars: Bars) -> None:
    years: list[Any] = [0.0, -252.0, np.nan, np.inf, "252"]
    for wrong in years:
        with pytest.raises(ConfigError, match="bars_per_year is"):
            Session(make_model(None), bars_per_year=wrong)
    spans: list[Any] = [3, "3h", np.timedelta64("NaT"), np.timedelta64(-1, "h")]
    spans.append(np.timedelta64(1, "M"))
    for wrong in spans:
        with pytest.raises(ConfigError, match="max_gap is"):
            Session(make_model(None), max_gap=wrong)
        with pytest.raises(ConfigError, match="max_age is"):
            Session(make_model(None), max_age=wrong)
    with pytest.raises(ConfigError, match="states no trading rules"):
        Session(make_model(None))
    other = FeatureSchema(("x",), formulas=("close",)).layout
    with pytest.raises(SchemaMismatch, match="which no feature set gives"):
        Session(make_model(layout=other, weights=np.ones(other.size)))
    with pytest.raises(SchemaMismatch, match="the set given has"):
        Session(make_model(layout=other, weights=np.ones(other.size)), features="builtin")
    short = Session(make_model(SimulatorConfig(action_mode="target_long_short")))
    short.warm_up(iter(bars.slice(0, 300)))
    with pytest.raises(ConfigError, match="bars_per_year"):
        short.on_bar(bars[300])
    session = Session(make_model())
    session.on_bar(bars[0])
    with pytest.raises(ConfigError, match="before its first decision"):
        session.warm_up(bars)


class Closes:
    """A feature set of one's own: the log return over three bars."""

    schema = FeatureSchema(("move_3",), formulas=("log(close_t / close_{t-3})",))
    warmup = 3

    def __init__(self) -> None:
        self.closes: list[float] = []

    def compute(self, bars: Bars) -> FloatArray:
        values = np.zeros((len(bars), 1))
        values[3:, 0] = np.log(bars.close[3:] / bars.close[:-3])
        return values

    def stream(self) -> Closes:
        return Closes()

    def update(self, bar: Bar) -> FloatArray:
        self.closes = [*self.closes[-3:], bar.close]
        full = len(self.closes) == 4
        return np.array([np.log(self.closes[-1] / self.closes[0])] if full else [np.nan])


def test_features_of_ones_own_plug_in(make_model: MakeModel, bars: Bars) -> None:
    layout = Closes.schema.layout
    model = make_model(layout=layout, weights=np.array([40.0, -0.5, 1.0, 0.0, 0.0, 0.0]))
    given = walk(Session(model, features=Closes()), bars, 10)
    FEATURE_SETS.register("closes", Closes())
    try:
        env = EnvConfig(market=("synthetic:ou?bars=400&seed=7",), features=("closes",))
        run = EvaluationRange.from_env(env).account(OnnxPolicy(model), env.simulator).backtests[0]
        found = walk(Session(model), bars, 3)
    finally:
        FEATURE_SETS.remove("closes")
    np.testing.assert_allclose([d.portfolio.equity for d in found], run.equity, rtol=1e-9)
    assert given[0].action is not None
