"""How much of a Sharpe ratio is luck: closed forms of Bailey & López de Prado, Wilson's interval.

Sharpe ratios here are per bar (not annualised) unless a name says ``annual``; γ3 is the skewness
and γ4 the raw kurtosis (3 for a normal distribution).

Sources: Bailey & López de Prado, "The Sharpe ratio efficient frontier", J. of Risk 15 (2012);
Bailey & López de Prado, "The deflated Sharpe ratio", J. of Portfolio Management 40 (2014);
Bailey, Borwein, López de Prado & Zhu, "Pseudo-mathematics and financial charlatanism", Notices
of the AMS 61 (2014); Wilson, "Probable inference", JASA 22 (1927).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr, ndtri

from offline_trader.errors import ConfigError
from offline_trader.evaluation.measures import kurtosis, sharpe_ratio, skewness

__all__ = [
    "SharpeEvidence",
    "deflated_sharpe_ratio",
    "expected_maximum",
    "min_backtest_years",
    "min_track_record",
    "probabilistic_sharpe_ratio",
    "psr_from_moments",
    "sharpe_evidence",
    "wilson_interval",
]

EULER_GAMMA = 0.5772156649015329
LONGEST_YEARS = 10_000.0
"""A track record that would have to be longer is as good as none that would do."""


def psr_from_moments(
    sharpe: float, n_bars: int, skew: float, kurt: float, benchmark: float = 0.0
) -> float | None:
    """``Φ((SR − SR₀)·√(T − 1) / √(1 − γ3·SR + (γ4 − 1)/4·SR²))``, the PSR (2012, eq. 11).

    Args:
        sharpe: observed Sharpe ratio a bar.
        n_bars: T.
        skew, kurt: γ3 and raw γ4 of the returns.
        benchmark: SR₀, the Sharpe ratio a bar to be beaten.
    """
    variance = _variance_factor(sharpe, skew, kurt)
    if n_bars < 2 or not 0 < variance < math.inf:
        return None
    return float(ndtr((sharpe - benchmark) * math.sqrt((n_bars - 1) / variance)))


def probabilistic_sharpe_ratio(returns: ArrayLike, benchmark: float = 0.0) -> float | None:
    """Probability that the true Sharpe ratio a bar exceeds ``benchmark``, given [T] returns.

    It assumes independent returns; with autocorrelation it is too sure of itself, which is why
    the bootstrap interval stands beside it.
    """
    moments = _moments(returns)
    return None if moments is None else psr_from_moments(*moments, benchmark)


def expected_maximum(n_trials: int) -> float:
    """Expected best of N independent standard normal trials, 0 for a single one.

    ``(1 − γe)·Φ⁻¹(1 − 1/N) + γe·Φ⁻¹(1 − 1/(N·e))`` (2014, eq. 5 and its appendix).

    Raises:
        ConfigError: fewer than one trial.
    """
    if n_trials < 1:
        raise ConfigError(f"{n_trials} trials", expected="at least 1")
    if n_trials == 1:
        return 0.0
    best, tail = ndtri(1.0 - 1.0 / n_trials), ndtri(1.0 - 1.0 / (n_trials * math.e))
    return float((1.0 - EULER_GAMMA) * best + EULER_GAMMA * tail)


def deflated_sharpe_ratio(returns: ArrayLike, n_trials: int, trial_variance: float) -> float | None:
    """PSR against the Sharpe ratio that the best of ``n_trials`` worthless trials would show.

    Args:
        returns: [T] returns of the chosen trial.
        n_trials: N, every configuration and seed that was evaluated.
        trial_variance: variance of the trials' Sharpe ratios, per bar.

    Raises:
        ConfigError: a negative variance or no trial.
    """
    if not trial_variance >= 0:
        raise ConfigError(f"variance {trial_variance} of the trials", expected="at least 0")
    hurdle = math.sqrt(trial_variance) * expected_maximum(n_trials)
    return probabilistic_sharpe_ratio(returns, hurdle)


def min_backtest_years(n_trials: int, target_annual_sharpe: float = 1.0) -> float:
    """MinBTL ``(E[max_N] / SR_target)²``: years below which N trials reach the target by luck.

    Raises:
        ConfigError: the target is not positive.
    """
    if not target_annual_sharpe > 0:
        raise ConfigError(f"target Sharpe ratio {target_annual_sharpe}", expected="more than 0")
    return (expected_maximum(n_trials) / target_annual_sharpe) ** 2


def min_track_record(
    sharpe: float,
    skew: float = 0.0,
    kurt: float = 3.0,
    benchmark: float = 0.0,
    confidence: float = 0.95,
) -> float | None:
    """MinTRL, bars needed to be ``confidence`` sure that the true Sharpe ratio exceeds SR₀.

    ``1 + (1 − γ3·SR + (γ4 − 1)/4·SR²)·(z_α / (SR − SR₀))²`` (2012, eq. 13); ``None`` where the
    observed ratio does not exceed the benchmark: no length would do.
    """
    if not 0.5 < confidence < 1:
        raise ConfigError(f"confidence {confidence}", expected="between 0.5 and 1")
    variance = _variance_factor(sharpe, skew, kurt)
    if sharpe <= benchmark or variance <= 0:
        return None
    return 1.0 + variance * float(ndtri(confidence) / (sharpe - benchmark)) ** 2


@dataclass(frozen=True)
class SharpeEvidence:
    """PSR, DSR and the lengths they ask for, of one return series.

    Attributes:
        sharpe: per bar.
        psr: probability that the true Sharpe ratio exceeds 0.
        dsr: the same against the expected best of the trials.
        n_trials: N of the ledger.
        hurdle: the annualised Sharpe ratio that luck alone explains, √Var·E[max_N]·√ppy.
        min_track_record_years: MinTRL at 95 %; None where the Sharpe ratio is not positive, or so
            small that it would be more than 10,000 years.
        min_backtest_years: MinBTL for an annual Sharpe ratio of 1 after N trials.
        years: length of the series.
    """

    sharpe: float | None
    psr: float | None
    dsr: float | None
    n_trials: int
    hurdle: float | None
    min_track_record_years: float | None
    min_backtest_years: float
    years: float

    def to_dict(self) -> dict[str, float | None]:
        """Numbers by name."""
        return dict(vars(self))


def sharpe_evidence(
    returns: ArrayLike,
    periods_per_year: float,
    trial_sharpes: Sequence[float] = (),
    n_trials: int | None = None,
) -> SharpeEvidence:
    """The closed-form evidence for [T] returns.

    Args:
        returns: [T] simple returns.
        periods_per_year: bars a year.
        trial_sharpes: Sharpe ratio a bar of every counted trial, this one included.
        n_trials: N; by default the number of ``trial_sharpes``, at least 1.

    With one trial there is nothing to deflate by, and DSR = PSR(0). With several trials whose
    ratios are not known (fewer than two numbers), DSR and hurdle are ``None``.
    """
    known = np.asarray(trial_sharpes, dtype=np.float64)
    known = known[np.isfinite(known)]
    count = max(1, len(trial_sharpes)) if n_trials is None else n_trials
    variance = 0.0 if count == 1 else float(known.var(ddof=1)) if known.size > 1 else None
    moments, n_bars = _moments(returns), np.asarray(returns).size
    needed = None if moments is None else min_track_record(moments[0], moments[2], moments[3])
    needed_years = None if needed is None else needed / periods_per_year
    if needed_years is not None and needed_years > LONGEST_YEARS:
        needed_years = None
    hurdle = None
    if variance is not None:
        hurdle = math.sqrt(variance * periods_per_year) * expected_maximum(count)
    return SharpeEvidence(
        sharpe=None if moments is None else moments[0],
        psr=probabilistic_sharpe_ratio(returns),
        dsr=None if variance is None else deflated_sharpe_ratio(returns, count, variance),
        n_trials=count,
        hurdle=hurdle,
        min_track_record_years=needed_years,
        min_backtest_years=min_backtest_years(count),
        years=n_bars / periods_per_year,
    )


def wilson_interval(successes: int, n: int, confidence: float = 0.95) -> tuple[float, float] | None:
    """Wilson's score interval of a rate; ``None`` for n = 0.

    Raises:
        ConfigError: not ``0 ≤ successes ≤ n``.
    """
    if not 0 <= successes <= n:
        raise ConfigError(f"{successes} successes of {n}", expected="0 ≤ successes ≤ n")
    if n == 0:
        return None
    z = float(ndtri(0.5 + confidence / 2.0))
    rate, z2 = successes / n, z * z
    centre = (rate + z2 / (2 * n)) / (1 + z2 / n)
    half = z / (1 + z2 / n) * math.sqrt(rate * (1 - rate) / n + z2 / (4 * n * n))
    low = 0.0 if successes == 0 else max(0.0, centre - half)
    return low, 1.0 if successes == n else min(1.0, centre + half)


def _variance_factor(sharpe: float, skew: float, kurt: float) -> float:
    return 1.0 - skew * sharpe + (kurt - 1.0) / 4.0 * sharpe**2


def _moments(returns: ArrayLike) -> tuple[float, int, float, float] | None:
    """Sharpe ratio a bar, known bars, γ3, γ4; ``None`` without variance."""
    r = np.asarray(returns, dtype=np.float64)
    sharpe, skew, kurt = sharpe_ratio(r), skewness(r), kurtosis(r)
    if sharpe is None or skew is None or kurt is None:
        return None
    return sharpe, int(np.count_nonzero(~np.isnan(r))), skew, kurt
