"""Performance measures of one series of simple returns, as ``docs/evaluation.md`` defines them.

A bar whose return is NaN is unknown: it is left out of means and deviations, and leaves the
equity as it is. A measure that is not defined (no known bar, zero variance, nothing lost) is
``None``, never infinity and never a number that looks like a result: a divisor that is only what
rounding left counts as zero. :func:`why_undefined` says why.

Every function reads the whole series: these are judgements on a finished run, not signals.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from offline_trader.errors import ConfigError, DataError
from offline_trader.types import FloatArray

__all__ = [
    "GREATEST_GROWTH",
    "annual_return",
    "calmar_ratio",
    "downside_deviation",
    "drawdown_series",
    "equity_curve",
    "expected_shortfall",
    "is_constant",
    "kurtosis",
    "max_drawdown",
    "mean_return",
    "omega_ratio",
    "performance",
    "period_rate",
    "sharpe_ratio",
    "skewness",
    "sortino_ratio",
    "stability",
    "tail_ratio",
    "total_return",
    "value_at_risk",
    "volatility",
    "why_undefined",
]


_ROUNDING = 8.0 * float(np.finfo(np.float64).eps)
"""What rounding leaves of equal returns that were computed from an equity curve."""

GREATEST_GROWTH = 1e12
"""Growth a year above this multiple of the capital is what a short range makes of a few bars."""
_GREATEST = 1e15
"""Greater numbers are no result, but what a divisor near zero or a wrong unit makes."""
_GREATEST_RETURN = 1e100
"""Greater returns are unknown: their squares are no numbers."""


def performance(
    returns: ArrayLike, periods_per_year: float, risk_free: float = 0.0
) -> dict[str, float | None]:
    """All measures by name: the dictionary that evaluations store and reports show.

    Args:
        returns: [T] simple return of each bar, net of costs.
        periods_per_year: bars a year.
        risk_free: risk-free rate a year.
    """
    r = _series(returns)
    return {
        "total_return": total_return(r),
        "cagr": annual_return(r, periods_per_year),
        "volatility": volatility(r, periods_per_year),
        "sharpe": sharpe_ratio(r, periods_per_year, risk_free),
        "sortino": sortino_ratio(r, periods_per_year, risk_free),
        "calmar": calmar_ratio(r, periods_per_year),
        "max_drawdown": max_drawdown(r),
        "omega": omega_ratio(r, periods_per_year, risk_free),
        "tail_ratio": tail_ratio(r),
        "value_at_risk": value_at_risk(r),
        "expected_shortfall": expected_shortfall(r),
        "skewness": skewness(r),
        "kurtosis": kurtosis(r),
        "stability": stability(r),
        "mean_return": mean_return(r),
    }


def why_undefined(
    returns: ArrayLike, measures: Mapping[str, float | None], periods_per_year: float
) -> dict[str, str]:
    """Why measures of :func:`performance` are ``None``, by name.

    Args:
        returns: [T] the simple returns that were measured.
        measures: what :func:`performance` found.
        periods_per_year: bars a year.
    """
    known = _known(returns)
    missing = [name for name in _REASONS if name in measures and measures[name] is None]
    if known.size < 2:
        count = "no known return" if known.size == 0 else "only one known return"
        return dict.fromkeys(missing, f"there is {count}")
    reasons = dict(_REASONS)
    if is_constant(known):
        reasons |= dict.fromkeys(("sharpe", "skewness", "kurtosis"), "the returns do not vary")
    if (known <= -1.0).any():
        reasons["stability"] = "all was lost"
    if (known < -1.0).any():
        reasons |= dict.fromkeys(("cagr", "calmar"), "more than the capital was lost")
    elif measures.get("cagr") is None:
        years = np.asarray(returns).size / periods_per_year
        reasons["cagr"] = (
            f"it would be above {GREATEST_GROWTH:.0e} times the capital, and {years:.2g} years are "
            "too few to say anything of a year"
        )
    return {name: reasons[name] for name in missing}


def period_rate(annual_rate: float, periods_per_year: float) -> float:
    """Rate a bar that compounds to ``annual_rate``: ``(1 + rf)^(1/ppy) − 1``.

    Raises:
        ConfigError: not a rate above −1 or not a positive number of bars a year.
    """
    if not periods_per_year > 0 or not math.isfinite(periods_per_year):
        raise ConfigError(f"periods_per_year {periods_per_year}", expected="a positive number")
    if not annual_rate > -1:
        raise ConfigError(f"risk-free rate {annual_rate}", expected="more than -1 (-100 % a year)")
    return float((1.0 + annual_rate) ** (1.0 / periods_per_year) - 1.0)


def equity_curve(returns: ArrayLike, initial: float = 1.0) -> FloatArray:
    """[T + 1] equity: the initial capital, then the equity after each bar."""
    r = _series(returns)
    with _quiet():
        growth = np.cumprod(1.0 + np.where(np.isnan(r), 0.0, r))
    return initial * np.concatenate(([1.0], growth))


def drawdown_series(returns: ArrayLike) -> FloatArray:
    """[T + 1] equity ÷ its running maximum − 1, in [−1, 0]; the first is the start's 0.

    The running maximum includes the initial capital, so a loss on the first bar counts.
    """
    equity = equity_curve(returns)
    peak = np.maximum.accumulate(equity)
    with _quiet():
        return np.asarray((equity - peak) / peak)


def max_drawdown(returns: ArrayLike) -> float | None:
    """Deepest drawdown, a number in [−1, 0]; ``None`` without a known bar.

    More than the capital cannot be lost: a return below −1 is a drawdown of −1.
    """
    r = _series(returns)
    if np.isnan(r).all():
        return None
    deepest = _number(np.nanmin(drawdown_series(r)))
    return None if deepest is None else max(deepest, -1.0)


def total_return(returns: ArrayLike) -> float | None:
    """Compounded return over the whole series."""
    r = _known(returns)
    with _quiet():
        return None if r.size == 0 else _number(np.prod(1.0 + r) - 1.0)


def annual_return(returns: ArrayLike, periods_per_year: float) -> float | None:
    """Geometric growth a year (CAGR): ``(Π(1 + r))^(ppy/T) − 1``; T counts unknown bars too.

    ``None`` without a known bar, where more than the capital was lost, and above
    ``GREATEST_GROWTH``.
    """
    r = _series(returns)
    period_rate(0.0, periods_per_year)
    known = r[~np.isnan(r)]
    if known.size == 0 or (known < -1.0).any():
        return None
    if (known == -1.0).any():
        return -1.0
    log_growth = float(np.log1p(known).sum()) * (periods_per_year / r.size)
    return None if log_growth > math.log1p(GREATEST_GROWTH) else _number(math.expm1(log_growth))


def mean_return(returns: ArrayLike) -> float | None:
    """Arithmetic mean return a bar."""
    r = _known(returns)
    return None if r.size == 0 else _number(r.mean())


def volatility(returns: ArrayLike, periods_per_year: float) -> float | None:
    """Annualised standard deviation, ``ddof = 1``."""
    period_rate(0.0, periods_per_year)
    deviation = _deviation(_known(returns))
    return None if deviation is None else _number(deviation * math.sqrt(periods_per_year))


def sharpe_ratio(
    returns: ArrayLike, periods_per_year: float = 1.0, risk_free: float = 0.0
) -> float | None:
    """Annualised mean excess return ÷ standard deviation (``ddof = 1``).

    ``periods_per_year = 1`` gives the ratio a bar, which PSR and DSR want.
    ``None`` for fewer than two bars and for zero variance.
    """
    excess = _known(returns) - period_rate(risk_free, periods_per_year)
    deviation = _deviation(excess)
    if not deviation:
        return None
    with _quiet():
        return _number(excess.mean() / deviation * math.sqrt(periods_per_year))


def downside_deviation(
    returns: ArrayLike, periods_per_year: float = 1.0, risk_free: float = 0.0
) -> float | None:
    """Annualised ``√mean(min(r − rf, 0)²)`` over the full sample, not only over the losses."""
    excess = _known(returns) - period_rate(risk_free, periods_per_year)
    if excess.size == 0:
        return None
    return _number(math.sqrt(np.mean(np.minimum(excess, 0.0) ** 2) * periods_per_year))


def sortino_ratio(
    returns: ArrayLike, periods_per_year: float = 1.0, risk_free: float = 0.0
) -> float | None:
    """Annualised mean excess return ÷ downside deviation; ``None`` where nothing was lost."""
    excess = _known(returns) - period_rate(risk_free, periods_per_year)
    downside = downside_deviation(returns, periods_per_year, risk_free)
    least = _rounding(excess) * math.sqrt(periods_per_year)
    if excess.size < 2 or downside is None or downside <= least:
        return None
    return _number(excess.mean() * periods_per_year / downside)


def calmar_ratio(returns: ArrayLike, periods_per_year: float) -> float | None:
    """Growth a year ÷ depth of the maximum drawdown; ``None`` where nothing was lost."""
    growth, drawdown = annual_return(returns, periods_per_year), max_drawdown(returns)
    if growth is None or drawdown is None or -drawdown <= _ROUNDING * np.size(returns):
        return None
    return _number(growth / -drawdown)


def omega_ratio(
    returns: ArrayLike, periods_per_year: float = 1.0, required: float = 0.0
) -> float | None:
    """Sum of gains ÷ sum of losses around ``required`` (a rate a year)."""
    excess = _known(returns) - period_rate(required, periods_per_year)
    losses = -float(excess[excess < 0].sum())
    if excess.size < 2 or losses <= _rounding(excess) * excess.size:
        return None
    return _number(excess[excess > 0].sum() / losses)


def value_at_risk(returns: ArrayLike, cutoff: float = 0.05) -> float | None:
    """Quantile of the returns a bar (a signed return, linear interpolation)."""
    r = _known(returns)
    return None if r.size == 0 else _number(np.percentile(r, 100.0 * cutoff))


def expected_shortfall(returns: ArrayLike, cutoff: float = 0.05) -> float | None:
    """Mean of the worst ``⌊(T − 1)·cutoff⌋ + 1`` returns (CVaR, a signed return)."""
    r = _known(returns)
    if r.size == 0:
        return None
    last = int((r.size - 1) * cutoff)
    return _number(np.partition(r, last)[: last + 1].mean())


def tail_ratio(returns: ArrayLike) -> float | None:
    """|95th percentile| ÷ |5th percentile| of the returns."""
    r = _known(returns)
    if r.size == 0:
        return None
    low, high = np.percentile(r, [5.0, 95.0])
    return None if abs(low) <= _rounding(r) else _number(abs(high) / abs(low))


def skewness(returns: ArrayLike) -> float | None:
    """Third standardised moment γ3, with population moments (``ddof = 0``)."""
    return _standardised_moment(returns, 3)


def kurtosis(returns: ArrayLike) -> float | None:
    """Fourth standardised moment γ4, raw: 3 for a normal distribution."""
    return _standardised_moment(returns, 4)


def stability(returns: ArrayLike) -> float | None:
    """R² of a straight line through the cumulative log returns."""
    r = _known(returns)
    if r.size < 2 or (r <= -1).any():
        return None
    path = np.cumsum(np.log1p(r))
    if np.abs(r).max() <= _ROUNDING:
        return None
    time = np.arange(path.size) - (path.size - 1) / 2.0
    centred = path - path.mean()
    spread = float(centred @ centred) * float(time @ time)
    return None if spread == 0 else min(1.0, float((centred @ time) ** 2 / spread))


def _standardised_moment(returns: ArrayLike, order: int) -> float | None:
    r = _known(returns)
    if not _deviation(r):
        return None
    with _quiet():
        centred = r - r.mean()
        scaled = centred / np.sqrt(np.mean(centred**2))  # first, or tiny moments are rounded to 0
        return _number(np.mean(scaled**order))


def _deviation(known: FloatArray) -> float | None:
    """Standard deviation; exactly 0 for equal values, whatever rounding leaves of it."""
    if known.size < 2:
        return None
    with _quiet():
        return 0.0 if is_constant(known) else float(known.std(ddof=1))


def is_constant(values: FloatArray) -> bool:
    """Whether returns [T ≥ 1] are equal but for the rounding of growth factors around 1."""
    return bool(np.ptp(values) <= _rounding(values))


def _rounding(values: FloatArray) -> float:
    """What rounding may leave of a zero among returns [T]."""
    return _ROUNDING * max(1.0, float(np.abs(values).max(initial=0.0)))


def _quiet() -> np.errstate:
    """What overflows becomes infinite, and :func:`_number` makes it None."""
    return np.errstate(over="ignore", invalid="ignore")


def _series(returns: ArrayLike) -> FloatArray:
    r = np.asarray(returns, dtype=np.float64)
    if r.ndim != 1:
        raise DataError(f"returns of shape {r.shape}", expected="one series, shape [T]")
    if np.isinf(r).any():
        raise DataError(f"return {np.flatnonzero(np.isinf(r))[0]} is infinite", expected="a number")
    return np.where(np.abs(r) > _GREATEST_RETURN, np.nan, r)


def _known(returns: ArrayLike) -> FloatArray:
    r = _series(returns)
    return r[~np.isnan(r)]


def _number(value: Any) -> float | None:
    number = float(value)
    return number if abs(number) <= _GREATEST else None


_LOST = "nothing was lost"
_TOO_GREAT = "it is too great for a result"
_REASONS: dict[str, str] = {
    "total_return": _TOO_GREAT,
    "cagr": _TOO_GREAT,
    "volatility": _TOO_GREAT,
    "sharpe": _TOO_GREAT,
    "sortino": _LOST,
    "calmar": _LOST,
    "max_drawdown": _TOO_GREAT,
    "omega": _LOST,
    "tail_ratio": "the 5th percentile of the returns is 0",
    "value_at_risk": _TOO_GREAT,
    "expected_shortfall": _TOO_GREAT,
    "skewness": _TOO_GREAT,
    "kurtosis": _TOO_GREAT,
    "stability": "the equity does not move",
    "mean_return": _TOO_GREAT,
}
"""Why a measure is None although its returns vary."""
