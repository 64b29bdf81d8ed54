"""Measures: equal to an independent library on 1,000 random series, and hand-made edges."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable

import empyrical
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offline_trader.errors import ConfigError, DataError
from offline_trader.evaluation.measures import returns as measures
from offline_trader.types import FloatArray

PPY = 252.0


def _random_series(index: int) -> FloatArray:
    rng = np.random.default_rng([2024, index])
    n = 1 if index % 50 == 0 else int(rng.integers(2, 400))
    returns = rng.standard_t(4, n) * rng.choice([1e-3, 1e-2, 0.05]) + rng.normal(0, 1e-3)
    returns = np.clip(returns, -0.9, 0.9)
    kind = index % 7
    if kind == 1:
        returns[rng.random(n) < 0.2] = np.nan
    elif kind == 2:
        returns[:] = 0.0
    elif kind == 3:
        returns[0] = -0.25
    elif kind == 4:
        returns[:] = 0.001
    elif kind == 5:
        returns[0], returns[1:] = -0.1, 0.0
    elif kind == 6 and index % 3 == 0:
        returns[:] = np.nan
    return np.asarray(returns)


RF = 0.03
RATE = (1 + RF) ** (1 / PPY) - 1
PAIRS: dict[str, tuple[Callable[[FloatArray], float | None], Callable[[FloatArray], float]]] = {
    "total_return": (measures.total_return, empyrical.cum_returns_final),
    "cagr": (
        lambda r: measures.annual_return(r, PPY),
        lambda r: empyrical.annual_return(r, annualization=PPY),
    ),
    "volatility": (
        lambda r: measures.volatility(r, PPY),
        lambda r: empyrical.annual_volatility(r, annualization=PPY),
    ),
    "sharpe": (
        lambda r: measures.sharpe_ratio(r, PPY, RF),
        lambda r: empyrical.sharpe_ratio(r, risk_free=RATE, annualization=PPY),
    ),
    "sortino": (
        lambda r: measures.sortino_ratio(r, PPY, RF),
        lambda r: empyrical.sortino_ratio(r, required_return=RATE, annualization=PPY),
    ),
    "downside": (
        lambda r: measures.downside_deviation(r, PPY, RF),
        lambda r: empyrical.downside_risk(r, required_return=RATE, annualization=PPY),
    ),
    "max_drawdown": (measures.max_drawdown, empyrical.max_drawdown),
    "calmar": (
        lambda r: measures.calmar_ratio(r, PPY),
        lambda r: empyrical.calmar_ratio(r, annualization=PPY),
    ),
    "omega": (
        lambda r: measures.omega_ratio(r, PPY, RF),
        lambda r: empyrical.omega_ratio(r, required_return=RF, annualization=PPY),
    ),
    "expected_shortfall": (
        measures.expected_shortfall,
        empyrical.conditional_value_at_risk,
    ),
    "tail_ratio": (measures.tail_ratio, empyrical.tail_ratio),
    "stability": (measures.stability, empyrical.stability_of_timeseries),
}


@pytest.mark.parametrize("name", sorted(PAIRS))
def test_equals_empyrical_on_a_thousand_series(name: str) -> None:
    ours, theirs = PAIRS[name]
    compared = 0
    for index in range(1000):
        returns = _random_series(index)
        known = returns[~np.isnan(returns)]
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            expected = float(theirs(returns.copy()))
        got = ours(returns)
        if got is None:
            undefined = (
                not math.isfinite(expected)
                # a library that answers for nothing known, or fits a line through equal values
                or known.size == 0
                or (name in {"stability", "tail_ratio"} and np.ptp(known) < 1e-15)
            )
            assert undefined, (index, expected)
            continue
        compared += 1
        assert got == pytest.approx(expected, rel=1e-12, abs=1e-12), (index, returns[:5])
    assert compared > 450


def test_equal_returns_are_a_straight_line() -> None:
    """The library above is not asked here: with equal returns it divides rounding errors."""
    assert measures.stability(np.full(50, 0.001)) == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("value", [0.0, 0.001, -0.02])
def test_zero_variance_is_null_not_infinity(value: float) -> None:
    returns = np.full(30, value)
    assert measures.sharpe_ratio(returns, PPY) is None
    assert measures.skewness(returns) is None
    assert measures.volatility(returns, PPY) == 0.0
    assert (measures.sortino_ratio(returns, PPY) is None) == (value >= 0)


@pytest.mark.parametrize("rate", [1e-4, -1e-4, 3e-7])
def test_constant_growth_of_an_equity_curve_has_no_sharpe_ratio(rate: float) -> None:
    """Its returns differ by rounding only: a ratio of 10¹³ would be a result of nothing."""
    equity = 10_000.0 * (1.0 + rate) ** np.arange(500)
    returns = equity[1:] / equity[:-1] - 1.0
    assert np.ptp(returns) > 0
    assert measures.sharpe_ratio(returns, PPY) is None
    assert measures.volatility(returns, PPY) == 0.0
    assert measures.kurtosis(returns) is None
    assert (measures.sortino_ratio(returns, PPY) is None) == (rate > 0)


def test_initial_capital_counts_in_the_drawdown() -> None:
    assert measures.max_drawdown([-0.3, 0.1]) == pytest.approx(-0.3)
    assert measures.drawdown_series([-0.5, 1.0]).tolist() == [0.0, -0.5, 0.0]


def test_hand_computed() -> None:
    returns = [0.1, -0.1, 0.2]
    mean = 0.2 / 3
    deviation = math.sqrt(((0.1 - mean) ** 2 + (-0.1 - mean) ** 2 + (0.2 - mean) ** 2) / 2)
    assert measures.sharpe_ratio(returns, 4.0) == pytest.approx(mean / deviation * 2)
    assert measures.sortino_ratio(returns) == pytest.approx(mean / math.sqrt(0.01 / 3))
    assert measures.total_return(returns) == pytest.approx(1.1 * 0.9 * 1.2 - 1)
    assert measures.kurtosis([1.0, -1.0, 1.0, -1.0]) == pytest.approx(1.0)
    assert measures.period_rate(0.21, 2.0) == pytest.approx(0.1)


def test_nothing_known_gives_null_everywhere() -> None:
    for returns in ([], [math.nan, math.nan]):
        found = measures.performance(returns, PPY)
        assert found == dict.fromkeys(found)
        reasons = measures.why_undefined(returns, found, PPY)
        assert reasons == dict.fromkeys(found, "there is no known return")


EDGES = (0.0, 1e-17, -1e-17, 1e-9, 0.01, 0.01 + 1e-16, -0.3, -1.0, -3.0, 5.0, 1e6, 1e90, math.nan)


@given(
    st.one_of(
        st.lists(st.sampled_from(EDGES), max_size=60),
        st.lists(st.floats(-1.5, 2.0) | st.just(math.nan), max_size=60),
        st.builds(
            lambda n, value, row, odd: [*[value] * row, odd, *[value] * n],
            st.integers(0, 300),
            st.sampled_from(EDGES),
            st.integers(0, 40),
            st.sampled_from(EDGES),
        ),
    ),
    st.sampled_from([1.0, 12.0, 252.0, 98_280.0, 525_600.0]),
)
@settings(max_examples=400, deadline=None)
def test_every_measure_is_a_sane_number_or_none_with_a_reason(
    returns: list[float], periods: float
) -> None:
    for rate in (0.0, 0.03):
        found = measures.performance(returns, periods, rate)
        reasons = measures.why_undefined(returns, found, periods)
        assert set(reasons) == {name for name, value in found.items() if value is None}
        for name, value in found.items():
            assert value is None or abs(value) <= 1e15, (name, value)
            assert value is not None or reasons[name]
        drawdown, growth, line = (found[name] for name in ("max_drawdown", "cagr", "stability"))
        assert drawdown is None or -1.0 <= drawdown <= 0.0
        assert growth is None or growth >= -1.0
        assert line is None or 0.0 <= line <= 1.0
        assert all((found[n] or 0.0) >= 0.0 for n in ("volatility", "omega", "tail_ratio"))


def test_what_rounding_leaves_is_no_divisor() -> None:
    """An account that stood still but for rounding earned no ratio of 10¹⁵."""
    equity = np.full(300, 10_000.0)
    equity[::3] = np.nextafter(equity[::3], 0.0)
    equity[200:] *= 1.001
    returns = equity[1:] / equity[:-1] - 1.0
    assert returns.min() < 0
    found = measures.performance(returns, PPY)
    for name in ("calmar", "omega", "sortino", "tail_ratio"):
        assert found[name] is None, name
    assert found["cagr"] == pytest.approx(1.001 ** (252 / 299) - 1.0)


def test_reasons_of_what_is_not_defined() -> None:
    def reasons(returns: list[float]) -> dict[str, str]:
        return measures.why_undefined(returns, measures.performance(returns, PPY), PPY)

    assert reasons([0.0] * 40)["sharpe"] == "the returns do not vary"
    assert reasons([0.01, 0.02])["sortino"] == "nothing was lost"
    assert "years are too few" in reasons([0.2, 0.3, 0.1])["cagr"]
    assert reasons([-1.0, 0.0])["stability"] == "all was lost"
    assert reasons([-1.5, 0.1])["cagr"] == "more than the capital was lost"
    assert reasons([0.01, -0.02, 0.03]) == {}


def test_refuses_what_is_no_series() -> None:
    with pytest.raises(DataError, match="shape"):
        measures.sharpe_ratio(np.zeros((3, 2)))
    with pytest.raises(DataError, match="return 1 is infinite"):
        measures.total_return([0.1, math.inf])
    with pytest.raises(ConfigError, match="periods_per_year"):
        measures.volatility([0.1, 0.2], 0.0)
