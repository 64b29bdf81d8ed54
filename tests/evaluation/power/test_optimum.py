"""The optimum of a planted signal: no policy beats it, and it reads nothing of what comes."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from offline_trader.evaluation.backtest import EvaluationRange
from offline_trader.evaluation.backtest.evaluation_range import Instrument
from offline_trader.evaluation.measures import sharpe_ratio
from offline_trader.evaluation.power import Planted, Split, judged_optimum, optimal_rule, plant
from offline_trader.evaluation.power.band import SIGNAL, band_rules
from offline_trader.evaluation.power.optimum import signal_span
from offline_trader.evaluation.power.programme import SignalMarket, solve
from offline_trader.evaluation.power.volatility import known_variance
from offline_trader.markets import BarRange, Bars, load_market
from offline_trader.simulator import SimulatorConfig
from offline_trader.simulator.config import ActionMode

FREE = SimulatorConfig(
    action_mode="target_long_short", commission_bps=0.0, half_spread_bps=0.0, slippage_bps=0.0,
    borrow_bps_per_year=0.0, min_notional=0.0, dust_notional=0.0,
)  # fmt: skip
SHORT = Split(252, 2_000, 300, 900)


def gaussian(bars: int, coefficient: float) -> Planted:
    """A market of normal residuals, of which all but the first 3,000 bars are judged."""
    rng = np.random.default_rng(5)
    r = np.concatenate(([0.0], 0.01 * rng.standard_normal(bars - 1)))
    s = np.zeros(bars)
    shocks = np.sqrt(1.0 - 0.95**2) * rng.standard_normal(bars)
    for t in range(1, bars):
        s[t] = 0.95 * s[t - 1] + shocks[t]
    strength = coefficient / np.sqrt(1.0 - coefficient**2) * 0.01
    r[1:] += strength * s[:-1]
    close = np.asarray(100.0 * np.cumprod(1.0 + r), np.float64)
    opened = np.concatenate(([100.0], close[:-1]))
    made = Bars(
        symbol="gaussian",
        timestamps=np.datetime64("1800-01-01", "ns") + np.arange(bars) * np.timedelta64(12, "h"),
        open=opened,
        high=np.maximum(opened, close),
        low=np.minimum(opened, close),
        close=close,
        volume=np.ones(bars),
        periods_per_year=252.0,
    )
    return Planted(made, s, coefficient, Split(0, 2_700, 300, bars - 3_000), strength, 0.95)


def earned(planted: Planted, rules: SimulatorConfig) -> float:
    found = judged_optimum(planted, rules, 0)["optimum_sharpe"]
    assert isinstance(found, float)
    return found


@pytest.mark.slow
@pytest.mark.parametrize(("mode", "bars"), [("order", 200_000), ("target_long_short", 50_000)])
def test_no_band_earns_more_on_normal_bars(mode: ActionMode, bars: int) -> None:
    planted, rules = gaussian(3_000 + bars, 0.1), SimulatorConfig(action_mode=mode)
    span = signal_span(planted)
    bands = [sharpe_ratio(span.account(one, rules).returns, 252.0) for one in band_rules(rules)]
    assert len(bands) == 22
    # policies that hold nearly the same differ by a fraction of one's error, .035 and .07
    assert earned(planted, rules) > max(one for one in bands if one is not None) - 0.02


@pytest.mark.parametrize("coefficient", [0.05, 0.2])
def test_without_costs_it_earns_the_information_coefficient(coefficient: float) -> None:
    """Positions in proportion to the signal: mean b², mean square b²(1 + 3b²), b = c/√(1−c²)."""
    b = coefficient / np.sqrt(1.0 - coefficient**2)
    solved = solve(SignalMarket(b, 0.95, 0.0, 0.0, FREE), np.array([4.0, 8.0]) * b, positions=161)
    sharpe = solved.mean / np.sqrt(solved.square - solved.mean**2)
    assert sharpe.max() == pytest.approx(coefficient, rel=0.03)


def test_no_policy_of_a_small_market_earns_more() -> None:
    """All 3^9 policies of three signals and three positions, each in the long run."""
    market = SignalMarket(0.3, 0.8, 0.1, 0.0, replace(FREE, action_mode="target_long"))
    solved = solve(market, 0.3 * np.geomspace(0.1, 20.0, 150), signals=3, positions=3)
    own = solved.mean / np.sqrt(np.maximum(solved.square - solved.mean**2, 1e-300))
    s, p = solved.signals, solved.positions
    move = np.array([[0.81, 0.18, 0.01], [0.09, 0.82, 0.09], [0.01, 0.18, 0.81]])
    target = np.array(list(product(range(3), repeat=9))).reshape(-1, 3, 3)
    rows = np.arange(3)[:, None]
    cell = (np.arange(len(target))[:, None, None] * 3 + rows) * 3 + target
    held = np.zeros(target.shape)
    held[:, :, 0] = [0.25, 0.5, 0.25]
    for _ in range(300):
        after = np.bincount(cell.ravel(), held.ravel(), held.size).reshape(held.shape)
        held = move.T @ after
    gain = 0.3 * s[:, None] * p[target] - 0.1 * np.abs(p[target] - p)
    square = p[target] ** 2 * (1.0 + (0.3 * s[:, None]) ** 2)
    mean, second = ((held * each).sum(axis=(1, 2)) for each in (gain, square))
    best = (mean / np.sqrt(np.maximum(second - mean**2, 1e-300))).max()
    assert best > 0.1
    assert own.max() == pytest.approx(best, rel=1e-5)


def test_it_reads_nothing_of_what_comes() -> None:
    made = plant(load_market("sp500"), SHORT, 0.1, seed=1)
    cut = len(made.bars) - 300
    close, later = made.bars.close, np.arange(len(made.bars)) > cut
    changed = replace(made.bars, **{
        name: np.where(later, getattr(made.bars, name) * 1.5, getattr(made.bars, name))
        for name in ("open", "high", "low", "close")
    })  # fmt: skip
    tested = len(close) - SHORT.test
    known = [known_variance(bars, tested) for bars in (made.bars, changed)]
    np.testing.assert_array_equal(known[0][: cut + 1], known[1][: cut + 1])
    assert known[0][cut + 1] != known[1][cut + 1]


def test_the_variance_foretells_and_is_constant_where_that_is_true() -> None:
    made = plant(load_market("sp500"), SHORT, 0.0, seed=2)
    tested = len(made.bars) - SHORT.test
    v, r = known_variance(made.bars, tested), made.residual
    assert np.corrcoef(np.log(v[tested:-1]), np.log(np.abs(r[tested + 1 :]) + 1e-3))[0, 1] > 0.15
    still = gaussian(6_000, 0.0)
    assert np.ptp(known_variance(still.bars, 3_000)) < 0.3 * 0.01**2


@pytest.mark.parametrize("mode", ["order", "target_long", "target_long_short"])
def test_it_plays_by_the_rules(mode: ActionMode) -> None:
    made, rules = plant(load_market("sp500"), SHORT, 0.3, seed=1), SimulatorConfig(action_mode=mode)
    (run,) = signal_span(made).account(optimal_rule(made, rules), rules).backtests
    assert len(run.equity) == SHORT.test + 1
    assert (run.exposure.min() < -0.05) == (mode == "target_long_short")
    assert run.exposure.max() <= 1.0 + 1e-6
    asked = run.actions[np.abs(run.actions) > 1e-6]
    if mode == "order":  # it asks for nothing that the hold zone keeps from being filled
        assert np.abs(asked).min() >= rules.hold_threshold
    assert earned(made, rules) > 3.0


def test_nothing_is_made_of_nothing() -> None:
    made = plant(load_market("sp500"), SHORT, 0.0, seed=1)
    found = judged_optimum(made, SimulatorConfig(), 0)
    assert found == {"optimum_sharpe": 0.0, "optimum_low": None, "optimum_found": False}


def test_features_beside_the_signal_change_nothing() -> None:
    made, rules = plant(load_market("sp500"), SHORT, 0.1, seed=3), SimulatorConfig()
    bars = replace(made.bars, signals={SIGNAL: made.signal})
    judged = BarRange(len(bars) - SHORT.test - 1, len(bars))
    wide = EvaluationRange((Instrument(bars, judged, ("builtin", f"signal:{SIGNAL}")),))
    rule = optimal_rule(made, rules)
    np.testing.assert_array_equal(
        wide.account(rule, rules).returns, signal_span(made).account(rule, rules).returns
    )
