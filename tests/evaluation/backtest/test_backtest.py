"""The closed-loop backtest: by hand, against the compiled replay, late, at other costs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from offline_trader.envs import EnvConfig
from offline_trader.errors import ConfigError
from offline_trader.evaluation.backtest import (
    EvaluationRange,
    Instrument,
    Scenario,
    backtest,
    backtests,
    break_even,
    combine,
    lot_rows,
    noisy,
    replayed,
    trade_rows,
    with_cost,
)
from offline_trader.evaluation.judging import CostPoint
from offline_trader.evaluation.measures import annual_return, fifo_lots, round_trips, trade_measures
from offline_trader.experts import Expert, get_expert, list_experts
from offline_trader.features import compute_features
from offline_trader.goals import Conditioned, GoalTask, Pursuit, Pursuits
from offline_trader.learning.agents import Learner, make_learner
from offline_trader.learning.settings import LearnerConfig
from offline_trader.markets import BarRange, Bars
from offline_trader.simulator import MarketTensor, SimulatorConfig, simulate_actions
from offline_trader.simulator.side_by_side import SideRun
from offline_trader.types import Observations


def make_bars(n: int = 520, seed: int = 0, symbol: str = "made") -> Bars:
    rng = np.random.default_rng(seed)
    close = 100.0 * np.exp(np.cumsum(rng.normal(2e-4, 0.012, n)))
    opened = close * np.exp(rng.normal(0.0, 0.003, n))
    days = np.busday_offset(np.datetime64("2010-01-04"), np.arange(n)).astype("datetime64[ns]")
    return Bars(
        symbol=symbol,
        timestamps=days,
        open=opened,
        high=np.maximum(opened, close) * 1.004,
        low=np.minimum(opened, close) * 0.996,
        close=close,
        volume=rng.uniform(1e5, 2e5, n),
    )


def make_market(bars: Bars, start: int = 260) -> MarketTensor:
    return MarketTensor.from_bars([bars], [compute_features(bars)], [BarRange(start, len(bars))])


@pytest.fixture(scope="module")
def market() -> MarketTensor:
    return make_market(make_bars())


class Scripted:
    """A policy that reads its actions from a list."""

    def __init__(self, actions: NDArray[np.float64]) -> None:
        self._next: Iterator[float] = iter(actions.tolist())

    def __call__(self, observations: Observations, /) -> NDArray[np.float32]:
        return np.full((len(observations), 1), next(self._next), dtype=np.float32)


def test_one_purchase_by_hand(market: MarketTensor) -> None:
    config = SimulatorConfig(commission_bps=10.0, half_spread_bps=0.0, slippage_bps=0.0)
    actions = np.zeros(len(market) - 1)
    actions[2] = 0.5
    actions[5] = -1.0
    run = backtest(Scripted(actions), market, config)
    bought, sold = market.prices[3, 0], market.prices[6, 0]
    units = 5_000.0 / bought
    np.testing.assert_allclose(run.fills.units, [units, -units], rtol=1e-12)
    np.testing.assert_array_equal(run.fills.bar, [3, 6])
    cash = 10_000.0 - 5_000.0 - 5.0
    np.testing.assert_allclose(run.equity[4], cash + units * market.prices[4, 3], rtol=1e-12)
    after = cash + units * sold * (1.0 - 1e-3)
    np.testing.assert_allclose(run.equity[6:], after, rtol=1e-12)
    assert run.exposure[2] == 0.0
    np.testing.assert_allclose(run.exposure[3], units * market.prices[3, 3] / run.equity[3])
    np.testing.assert_allclose(run.costs_paid, 5.0 + units * sold * 1e-3, rtol=1e-9)
    (trade,) = trade_rows([run])
    np.testing.assert_allclose(trade.net_profit, after - 10_000.0, rtol=1e-9)
    assert (trade.bars, trade.direction) == (3, 1)
    assert trade.entry_time == str(market.timestamps[3].astype("datetime64[s]"))


@pytest.mark.parametrize("mode", ["order", "target_long", "target_long_short"])
def test_closed_loop_equals_the_compiled_replay_of_its_actions(
    market: MarketTensor, mode: str
) -> None:
    config = SimulatorConfig(action_mode=mode)  # type: ignore[arg-type]
    run = backtest(get_expert("reversion"), market, config)
    again = replayed(run, market, config)
    assert run.traded.sum() > 4
    np.testing.assert_allclose(again.equity, run.equity, rtol=1e-12)
    np.testing.assert_allclose(again.exposure, run.exposure, atol=1e-9)
    np.testing.assert_array_equal(again.fills.bar, run.fills.bar)
    np.testing.assert_allclose(again.costs_paid, run.costs_paid, rtol=1e-12)


def test_buy_and_hold_replayed_at_another_cost_is_buy_and_hold_at_that_cost(
    market: MarketTensor,
) -> None:
    cheap, dear = SimulatorConfig(), with_cost(SimulatorConfig(), 40.0)
    hold = get_expert("buy_and_hold")
    replay = replayed(backtest(hold, market, cheap), market, dear)
    np.testing.assert_allclose(replay.equity, backtest(hold, market, dear).equity, rtol=1e-9)


def test_a_late_action_is_the_action_list_shifted(market: MarketTensor) -> None:
    actions = np.random.default_rng(3).uniform(-1, 1, len(market) - 1)
    late = backtest(Scripted(actions), market, SimulatorConfig(), delay_bars=2)
    shifted = np.concatenate([[0.0, 0.0], actions[:-2]])
    expected = backtest(Scripted(shifted), market, SimulatorConfig())
    np.testing.assert_array_equal(late.equity, expected.equity)
    np.testing.assert_array_equal(late.actions, actions.astype(np.float32))


@pytest.mark.parametrize("name", ["reversion", "oracle"])
def test_runs_together_are_the_runs_alone(name: str) -> None:
    bars = make_bars()
    market, other = make_market(bars), make_market(noisy(bars, 50.0, np.random.default_rng(1)))
    rules, dear = SimulatorConfig(), with_cost(SimulatorConfig(), 30.0)
    runs = [
        SideRun(market, rules),
        SideRun(market, dear),
        SideRun(market, rules, 1),
        SideRun(other, rules),
    ]
    together = backtests(get_expert(name), runs)
    for found, run in zip(together, runs, strict=True):
        alone = backtest(get_expert(name), run.market, run.config, delay_bars=run.delay_bars)
        np.testing.assert_array_equal(found.equity, alone.equity)
        np.testing.assert_array_equal(found.actions, alone.actions)
    assert len({found.equity[-1] for found in together}) == 4


@pytest.mark.parametrize("mode", ["order", "target_long", "target_long_short"])
@pytest.mark.parametrize("expert", list_experts(), ids=lambda each: each.name)
def test_deciding_for_many_bars_at_once_is_deciding_bar_by_bar(expert: Expert, mode: str) -> None:
    bars = make_bars(900, seed=4)
    rules = SimulatorConfig(action_mode=mode, smoothing_alpha=0.7)  # type: ignore[arg-type]
    late = SimulatorConfig(action_mode=mode, fill="close")  # type: ignore[arg-type]
    other = make_market(noisy(bars, 80.0, np.random.default_rng(2)), start=300)
    runs = [
        SideRun(make_market(bars), SimulatorConfig(action_mode=mode)),  # type: ignore[arg-type]
        SideRun(make_market(bars), rules),
        SideRun(make_market(bars), late, 3),
        SideRun(other, with_cost(rules, 60.0)),
    ]
    one, many = (backtests(expert, runs, longest_window=each) for each in (1, 256))
    for single, found in zip(one, many, strict=True):
        for name in ("equity", "exposure", "actions", "observations", "units"):
            np.testing.assert_array_equal(getattr(found, name), getattr(single, name), name)
        np.testing.assert_array_equal(found.fills.price, single.fills.price)
        assert found.costs_paid == single.costs_paid


def test_a_policy_runs_on_markets_of_different_lengths_as_on_each_alone() -> None:
    def policy(observations: Observations, /) -> NDArray[np.float32]:
        return np.where(observations[:, :1] > 0.5, 0.8, -0.6).astype(np.float32)

    markets = [make_market(make_bars(seed=1)), make_market(make_bars(n=500, seed=2), start=270)]
    together = backtests(policy, [SideRun(each, SimulatorConfig()) for each in markets])
    for found, market in zip(together, markets, strict=True):
        alone = backtest(policy, market, SimulatorConfig())
        assert len(found.actions) == len(market) - 1
        np.testing.assert_array_equal(found.equity, alone.equity)
        np.testing.assert_array_equal(found.observations, alone.observations)


def test_an_agent_without_states_decides_for_all_runs_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It has the calls of a policy with states, and hundreds of exams would take it hours."""
    markets = [make_market(make_bars(seed=seed)) for seed in (1, 2, 3)]
    config = LearnerConfig(algorithm="sac", hidden=(8, 8))
    learner, asked = make_learner(config, markets[0].layout.size), list[int]()
    act = Learner.act

    def spy(self: Learner, observations: Observations) -> NDArray[np.float32]:
        asked.append(len(observations))
        return act(self, observations)

    for name in ("act", "__call__"):
        monkeypatch.setattr(Learner, name, spy)
    backtests(learner, [SideRun(each, SimulatorConfig()) for each in markets])
    assert asked == [3] * (len(markets[0]) - 1)


def test_accounts_with_goals_of_their_own_side_by_side_are_each_alone() -> None:
    """Also where they end at different bars, one of them by ruin, and when they are asked again."""

    def policy(observations: Observations, /) -> NDArray[np.float32]:
        bold = observations[:, -1:] > 0.04
        moody = np.sin(50.0 * observations[:, -4:].sum(axis=1, keepdims=True))
        turn = np.round(7.0 * observations[:, -4:-3]) % 2.0
        return np.where(bold, 2.0 * turn - 1.0, moody).astype(np.float32)

    task, goals = GoalTask("return", horizon=7), np.array([0.01, 0.05, 0.03])
    markets = [make_market(make_bars(seed=1, n=n), start=270) for n in (520, 520, 500)]
    rules = [SimulatorConfig(commission_bps=bps) for bps in (1.0, 2_000.0, 5.0)]
    runs = [SideRun(each, rule) for each, rule in zip(markets, rules, strict=True)]
    pursuits = Pursuits(policy, task, goals)
    for _ in range(2):
        together = backtests(pursuits, runs)
        assert [run.ruined for run in together] == [False, True, False]
        for found, run, goal in zip(together, runs, goals, strict=True):
            alone = backtest(Pursuit(Conditioned(policy, task), goal), run.market, run.config)
            np.testing.assert_array_equal(found.actions, alone.actions)
            np.testing.assert_array_equal(found.equity, alone.equity)


def test_an_action_that_is_no_number_is_refused(market: MarketTensor) -> None:
    actions = np.zeros(len(market) - 1)
    actions[7] = np.nan
    with pytest.raises(ConfigError, match="not a number"):
        backtest(Scripted(actions), market, SimulatorConfig())


def test_ruin_ends_the_run_and_leaves_a_flat_curve(market: MarketTensor) -> None:
    config = SimulatorConfig(commission_bps=2_000.0, min_notional=0.0)
    actions = np.tile([1.0, -1.0], len(market))[: len(market) - 1]
    run = backtest(Scripted(actions), market, config)
    assert run.ruined
    steps = len(run.actions)
    assert steps < len(market) - 1
    assert run.equity[steps] <= 0.05 * 10_000.0
    assert (run.equity[steps:] == run.equity[steps]).all()
    assert len(run.equity) == len(market)
    assert (run.equity > 0).all()


def test_costs_keep_their_proportions() -> None:
    config = SimulatorConfig(commission_bps=1.0, half_spread_bps=2.0, slippage_bps=1.0)
    found = with_cost(config, 40.0)
    assert (found.commission_bps, found.half_spread_bps, found.slippage_bps) == (10.0, 20.0, 10.0)
    free = SimulatorConfig(commission_bps=0.0, half_spread_bps=0.0, slippage_bps=0.0)
    assert with_cost(free, 7.0).commission_bps == 7.0


def test_one_instrument_has_the_measures_of_its_trades(market: MarketTensor) -> None:
    run = backtest(get_expert("reversion"), market, SimulatorConfig())
    account = combine([run], 252.0)
    expected = trade_measures(run.fills, run.exposure[1:], run.equity[1:], 252.0)
    for name, value in expected.to_dict().items():
        assert account.trade_measures[name] == pytest.approx(value, rel=1e-9), name
    assert account.trade_intervals.get("win_rate") == expected.win_rate_interval
    np.testing.assert_array_equal(account.curve.equity, run.equity)


@pytest.mark.parametrize("fill", ["next_open", "close"])
@pytest.mark.parametrize("cap", [0.0, 2e-4])
def test_trades_pay_for_what_is_borrowed_as_in_the_kernel(
    market: MarketTensor, fill: str, cap: float
) -> None:
    """One definition of a win: the kernel's, and the trades earn what the account earns."""
    config = SimulatorConfig(
        action_mode="target_long_short",
        fill=fill,  # type: ignore[arg-type]
        borrow_bps_per_year=6_000.0,
        volume_cap=cap,
    )
    rng = np.random.default_rng(4)
    actions = np.repeat(rng.choice([-0.9, -0.4, 0.0, 0.6], 60), 5)[: len(market) - 1]
    actions[-12:] = 0.0  # flat at the end
    run = backtest(Scripted(actions), market, config)
    kernel = simulate_actions(market, config, run.actions)
    trips, lots = round_trips(run.fills), fifo_lots(run.fills)
    earned = run.equity[-1] - run.equity[0]
    assert kernel.final_units[0] == 0.0
    assert len(trips) == kernel.trips[0] > 10
    assert int((trips.net_profit > 0).sum()) == kernel.wins[0]
    assert len(lots) > len(trips)
    for found in (trips, lots):
        assert found.net_profit.sum() == pytest.approx(earned, rel=1e-9, abs=1e-7)
    unpaid = round_trips(replace(run.fills, borrow=None)).net_profit
    assert int((unpaid > 0).sum()) > kernel.wins[0]


def test_an_account_that_only_pays_interest_wins_no_trade() -> None:
    """Short on a price that stands still: 10,000 became 9,519 with a win rate of 1.0."""
    flat = make_bars()
    level = np.asarray(100.0 * (1.0 - 1e-6) ** np.arange(len(flat)), dtype=np.float64)
    bars = replace(flat, open=level, high=level, low=level, close=level)
    config = SimulatorConfig(
        action_mode="target_long_short", borrow_bps_per_year=900.0, commission_bps=0.0,
        half_spread_bps=0.0, slippage_bps=0.0,
    )  # fmt: skip
    market = make_market(bars)
    actions = np.full(len(market) - 1, -0.9)
    actions[-1] = 0.0
    run = backtest(Scripted(actions), market, config)
    account = combine([run], 252.0)
    assert run.equity[-1] < 9_500.0
    assert account.trade_measures["win_rate"] == 0.0
    assert account.trade_measures["lot_profit_factor"] == 0.0


def test_a_position_that_is_never_flat_has_lots(market: MarketTensor) -> None:
    config = SimulatorConfig()
    actions = np.where(np.arange(len(market) - 1) % 3 == 0, 0.4, -0.3)
    run = backtest(Scripted(actions), market, config)
    account = combine([run], 252.0)
    assert account.trade_measures["trades"] == 0.0
    assert account.trade_measures["win_rate"] is None
    lots = account.trade_measures["lots"]
    assert lots is not None
    assert lots > 100
    assert 0.0 < (account.trade_measures["lot_win_rate"] or 0.0) < 1.0
    assert "lot_win_rate" in account.trade_intervals
    shown = lot_rows([run], most=5)
    assert len(shown) == 10
    profit = fifo_lots(run.fills).net_profit
    assert max(row.net_profit for row in shown) == profit.max()


def test_two_instruments_are_the_mean_of_their_curves() -> None:
    first = make_market(make_bars(seed=1, symbol="a"))
    second = make_market(make_bars(n=500, seed=2, symbol="b"), start=270)
    hold, rules = get_expert("buy_and_hold"), SimulatorConfig()
    runs = [backtest(hold, each, rules) for each in (first, second)]
    account = combine(runs, 252.0)
    assert len(account.curve.equity) == len(first)
    offset = 10  # the second begins ten bars later and ends twenty earlier
    np.testing.assert_allclose(account.curve.equity[offset - 1], (runs[0].equity[9] + 1e4) / 2)
    np.testing.assert_allclose(
        account.curve.equity[offset + 30],
        (runs[0].equity[offset + 30] + runs[1].equity[30]) / 2,
    )
    np.testing.assert_allclose(
        account.curve.equity[-1], (runs[0].equity[-1] + runs[1].equity[-1]) / 2
    )
    assert account.curve.close is None


def _course(*bars: Bars) -> EvaluationRange:
    return EvaluationRange(tuple(Instrument(each, BarRange(260, len(each))) for each in bars))


def test_marks_a_year_of_several_sessions() -> None:
    """Two daily sessions at different hours make two marks a day, not one."""
    one, other = make_bars(seed=1, symbol="a"), make_bars(seed=2, symbol="b")
    assert _course(one).periods_per_year == one.periods_per_year
    assert _course(one, other).periods_per_year == one.periods_per_year
    later = replace(other, timestamps=other.timestamps + np.timedelta64(8, "h"))
    both = _course(one, later)
    assert both.periods_per_year == pytest.approx(2 * one.periods_per_year, rel=0.01)
    hold = Scenario(SimulatorConfig())
    account = both.accounts(get_expert("buy_and_hold"), [hold])[0]
    together = _course(one, other).accounts(get_expert("buy_and_hold"), [hold])[0]
    np.testing.assert_allclose(account.curve.equity[-1], together.curve.equity[-1])
    found, expected = (
        annual_return(each.curve.returns, span.periods_per_year)
        for each, span in ((account, both), (together, _course(one, other)))
    )
    assert found == pytest.approx(expected, rel=0.02)


def cost_points(*growth: float | None) -> list[CostPoint]:
    return [CostPoint(float(5 * i), g, None, None, 0) for i, g in enumerate(growth)]


def test_break_even_cost() -> None:
    value, note = break_even(cost_points(0.06, 0.02, -0.02))
    assert value == pytest.approx(7.5)
    assert note == ""
    value, note = break_even(cost_points(0.06, 0.02))
    assert value is None
    assert note == "above 5 bp"
    value, note = break_even(cost_points(-0.01, -0.02))
    assert value is None
    assert "already at 0 bp" in note
    assert break_even(cost_points(0.0, 0.0)) == (None, "none: it earns nothing at 0 bp")


def test_an_instrument_counts_once() -> None:
    with pytest.raises(ConfigError, match="sp500 is there twice"):
        EvaluationRange.from_env(EnvConfig(market=("sp500", "nasdaq", "sp500"), start="2018"))


def test_noise_is_each_instruments_own() -> None:
    """Also where their names begin alike."""
    pair = [replace(make_bars(), symbol=f"EXCHANGE:{name}") for name in ("BTCUSDT", "ETHUSDT")]
    span = EvaluationRange(tuple(Instrument(bars, BarRange(260, len(bars))) for bars in pair))
    noisy_prices = Scenario(SimulatorConfig(), noise_bps=20.0, noise_seed=(0,))
    ((first, second),) = span.backtests(get_expert("buy_and_hold"), [noisy_prices])
    assert not np.allclose(first.close, second.close)


def test_noise_keeps_bars_valid_and_is_seeded() -> None:
    bars = make_bars()
    first, again = (noisy(bars, 20.0, np.random.default_rng(4)) for _ in range(2))
    np.testing.assert_array_equal(first.close, again.close)
    factor = first.close / bars.close
    np.testing.assert_allclose(first.open / bars.open, factor)
    np.testing.assert_allclose(np.std(np.log(factor)), 20e-4, rtol=0.15)
