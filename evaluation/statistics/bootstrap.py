"""Intervals by the stationary bootstrap (Politis & Romano 1994), studentised.

Blocks of geometric length keep the dependence of neighbouring bars; arch draws them and chooses
their mean length (Politis & White 2004) for the measure's influence function, the series whose
long-run variance decides. A plain percentile interval of the Sharpe ratio covers the truth too
rarely under autocorrelation; here each replicate's deviation is divided by its own standard
error, and the quantiles of that ratio times the standard error of the data make the interval
(Ledoit & Wolf, "Robust performance hypothesis testing with the Sharpe ratio", 2008). The tails
are calibrated on simulated series, see ``TAIL_CALIBRATION``.

Where a few bars carry the measure, many replicates hold none of them: their own standard error is
a small part of the data's, or what rounding leaves, and the ratio has no meaning. Such replicates
are left out (``DEGENERATE``), and where they are more than one tail there is no interval, but a
:class:`NoInterval` that says why.

Influence functions, with m mean, s standard deviation, d downside deviation, z = (r − m)/s:

    Sharpe S = m/s            z − S(z² − 1)/2
    Sortino Q = m/d           (r − m)/d − Q(min(r, 0)² − d²)/(2d²)
    volatility s              s(z² − 1)/2
    mean                      r − m
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from offline_trader.errors import ConfigError, DataError
from offline_trader.evaluation.measures import GREATEST_GROWTH, is_constant, period_rate
from offline_trader.types import FloatArray, IntArray

__all__ = [
    "INTERVAL_MEASURES",
    "Interval",
    "NoInterval",
    "bootstrap_interval",
    "measured_difference",
    "measured_interval",
    "performance_intervals",
    "sharpe_difference",
    "stationary_indices",
]

INTERVAL_MEASURES: dict[str, int] = {
    "sharpe": 0,
    "sortino": 1,
    "volatility": 2,
    "mean_return": 3,
    "cagr": 3,
}
"""Measures that have an interval, with the code of their influence function."""

SHARPE_DIFFERENCE = 4
"""Code of the influence function of a difference of two Sharpe ratios."""
_OF_RETURNS = (INTERVAL_MEASURES["volatility"], INTERVAL_MEASURES["mean_return"])
"""Measures in the unit of the returns; the others are ratios."""
MIN_BARS = 30
BUCKETS = 10_000
"""Longer series are resampled in so many buckets of neighbouring bars at most."""
TAIL_CALIBRATION = 0.85
"""Share of the nominal tails that is cut off.

Without it the intervals covered 94.2 % on average instead of 95 % (94.5, 94.0, 94.2 and 94.1 in
1,500 series each of AR(.1), AR(.3) and twice AR(0) returns with GARCH(1,1) shocks, 1,000 bars
long); with it 95.0 % (95.3, 95.3, 95.0, 94.5), and 95.35 % on 4,000 further series (96.1, 94.7,
94.7 of AR(.1), AR(.3), AR(.1) and 95.9 of AR(0); ``benchmarks/statistics.py``).
"""
DEGENERATE = 0.25
"""A replicate whose standard error is below this share of the data's is left out.

Of 1,000 replicates of normal and of Student's t (3 degrees) returns, 30 to 1,000 bars long, and of
series that are flat on 95 % of the bars, none lies below it (one, once); of differences that rest
on 5 bars of 120, 1.8 to 6 %.
"""
DEGENERATE_SPREAD = 0.1
"""The same for volatility, whose error a turbulent spell makes: resamples that lack it are sound.

Of 500 GARCH(1,1) series of 1,000 bars six lost their interval at .25, one at .15, none at .1, with
the same coverage. A series of equal returns but one loses it at either.
"""
_CHUNK = 128
_CHUNK_VALUES = 4_000_000
_EQUAL = 1e-9
"""Spread of an influence function, as a share of its terms', that is rounding."""


@dataclass(frozen=True)
class Interval:
    """A measure with its bootstrap interval.

    Attributes:
        value: of the data.
        low, high: ends of the interval.
        confidence: such as 0.95.
        standard_error: of the value, from the influence function's long-run variance.
        block_bars: mean block length.
        n: bars.
    """

    value: float
    low: float
    high: float
    confidence: float
    standard_error: float
    block_bars: float
    n: int

    @property
    def ends(self) -> tuple[float, float]:
        """(low, high)."""
        return self.low, self.high


@dataclass(frozen=True)
class NoInterval:
    """Why there is no interval: ``reason`` goes on after a colon."""

    reason: str


def bootstrap_interval(
    returns: ArrayLike,
    measure: str = "sharpe",
    periods_per_year: float = 252.0,
    *,
    rng: np.random.Generator,
    risk_free: float = 0.0,
    confidence: float = 0.95,
    replicates: int = 1000,
) -> Interval | None:
    """:func:`measured_interval`, and None where there is none."""
    found = measured_interval(
        returns,
        measure,
        periods_per_year,
        rng=rng,
        risk_free=risk_free,
        confidence=confidence,
        replicates=replicates,
    )
    return found if isinstance(found, Interval) else None


def measured_interval(
    returns: ArrayLike,
    measure: str = "sharpe",
    periods_per_year: float = 252.0,
    *,
    rng: np.random.Generator,
    risk_free: float = 0.0,
    confidence: float = 0.95,
    replicates: int = 1000,
) -> Interval | NoInterval:
    """Studentised interval of a measure of [T] simple returns; NaN bars are left out.

    ``cagr`` is bootstrapped as the mean log return and turned into growth a year.

    Returns:
        NoInterval where there are fewer than 30 bars, the measure or an end is not defined, or a
        few bars decide alone.

    Raises:
        ConfigError: an unknown measure, or settings out of range.
    """
    if measure not in INTERVAL_MEASURES:
        raise ConfigError(
            f"no interval of {measure!r}", expected="one of " + ", ".join(INTERVAL_MEASURES)
        )
    _check(confidence, replicates)
    rate = period_rate(risk_free, periods_per_year)
    r = _known(returns)
    excess = measure in ("sharpe", "sortino")
    if measure == "cagr" and (r <= -1).any():
        return NoInterval("all was lost")
    x = np.log1p(r) if measure == "cagr" else r - rate if excess else r
    found = _studentised(x[:, None], INTERVAL_MEASURES[measure], rng, confidence, replicates)
    if isinstance(found, NoInterval) or measure == "mean_return":
        return found
    if measure == "cagr":
        if max(found.high, found.value) * periods_per_year > math.log1p(GREATEST_GROWTH):
            return NoInterval(
                f"its upper end is above {GREATEST_GROWTH:,.0f} times the capital; the range is "
                "too short to say anything of a year"
            )
        return _mapped(found, lambda growth: math.expm1(growth * periods_per_year))
    scale = math.sqrt(periods_per_year)
    return _mapped(found, lambda number: number * scale)


def performance_intervals(
    returns: ArrayLike,
    periods_per_year: float,
    *,
    rng: np.random.Generator,
    risk_free: float = 0.0,
    confidence: float = 0.95,
    replicates: int = 1000,
) -> dict[str, Interval | NoInterval]:
    """:func:`measured_interval` of every measure that can have one, by name."""
    return {
        name: measured_interval(
            returns,
            name,
            periods_per_year,
            rng=rng,
            risk_free=risk_free,
            confidence=confidence,
            replicates=replicates,
        )
        for name in INTERVAL_MEASURES
    }


def sharpe_difference(
    returns: ArrayLike,
    others: ArrayLike,
    periods_per_year: float = 252.0,
    *,
    rng: np.random.Generator,
    confidence: float = 0.95,
    replicates: int = 1000,
) -> Interval | None:
    """:func:`measured_difference`, and None where there is none."""
    found = measured_difference(
        returns, others, periods_per_year, rng=rng, confidence=confidence, replicates=replicates
    )
    return found if isinstance(found, Interval) else None


def measured_difference(
    returns: ArrayLike,
    others: ArrayLike,
    periods_per_year: float = 252.0,
    *,
    rng: np.random.Generator,
    confidence: float = 0.95,
    replicates: int = 1000,
) -> Interval | NoInterval:
    """Annualised Sharpe ratio of ``returns`` minus that of ``others``, paired bar by bar.

    Both are resampled with the same blocks, so what they share cancels. Bars where either is
    NaN are left out.

    Raises:
        DataError: series of different lengths.
    """
    _check(confidence, replicates)
    first, second = np.asarray(returns, dtype=np.float64), np.asarray(others, dtype=np.float64)
    if first.shape != second.shape or first.ndim != 1:
        raise DataError(f"series of {first.shape} and {second.shape}", expected="the same bars")
    known = np.isfinite(first) & np.isfinite(second)
    pair = np.stack([first[known], second[known]], axis=1)
    found = _studentised(pair, SHARPE_DIFFERENCE, rng, confidence, replicates)
    scale = math.sqrt(periods_per_year)
    if isinstance(found, NoInterval):
        return found
    return _mapped(found, lambda number: number * scale)


def stationary_indices(
    n_bars: int, block_bars: float, replicates: int, rng: np.random.Generator
) -> IntArray:
    """[replicates, T] bar numbers of stationary-bootstrap samples: those that arch draws from the
    same generator. Importing arch takes longer than the whole bootstrap."""
    from offline_trader.evaluation.statistics.resampling import stationary_sample

    drawn = np.empty((replicates, n_bars), dtype=np.int64)
    for sample in drawn:
        sample[:] = rng.integers(n_bars, size=n_bars)
        stationary_sample(sample, rng.random(n_bars), 1.0 / block_bars)
    return drawn


def bucket_edges(n_bars: int, block_bars: float) -> IntArray | None:
    """[buckets + 1] first bars of the buckets in which a long series is resampled, or None.

    Above :data:`BUCKETS` bars whole buckets of neighbouring bars are drawn instead of bars: a block
    begins and ends at a bucket's edge. A bucket is as long as to leave :data:`BUCKETS` of them, or
    1/16 of a block where that is more, so blocks are at most that much longer than they would be.
    The measures of a sample are functions of sums over bars, and sums of buckets give them exactly.
    """
    if n_bars <= BUCKETS:
        return None
    buckets = int(n_bars / max(n_bars / BUCKETS, block_bars / 16.0))
    return np.linspace(0, n_bars, buckets + 1).astype(np.int64)


def resampled_means(
    values: FloatArray, block_bars: float, replicates: int, rng: np.random.Generator
) -> FloatArray:
    """[replicates, K] means of stationary-bootstrap samples of [T, K] values.

    A long series is resampled in buckets (:func:`bucket_edges`).
    """
    edges = bucket_edges(len(values), block_bars)
    sums, sizes, block = values, np.ones(len(values)), block_bars
    if edges is not None:
        sums = np.add.reduceat(values, edges[:-1], axis=0)
        sizes = np.diff(edges).astype(np.float64)
        block = max(1.0, block_bars / float(sizes.mean()))
    means = []
    for drawn in _drawn_ahead(len(sums), block, replicates, rng):
        counts = np.stack([np.bincount(row, minlength=len(sums)) for row in drawn])
        means.append(counts @ sums / (counts @ sizes)[:, None])
    return np.concatenate(means)


def optimal_block(series: FloatArray) -> float:
    """Mean block length for [T] values (Politis & White 2004, with the correction of 2009), at
    least 1, at most T/4: what arch's ``optimal_block_length`` gives."""
    n = series.size
    centred = series - series.mean()
    least = max(5, int(np.log10(n)))
    most = int(np.ceil(np.sqrt(n))) + least
    threshold = 2.0 * np.sqrt(np.log10(n) / n)
    covariance, small, chosen = np.zeros(most + 1), np.zeros(most + 1, dtype=np.bool_), None
    for lag in range(min(most, n - 2) + 1):
        early, late = centred[: n - lag - 1], centred[lag + 1 :]
        product = centred[lag:] @ centred[: n - lag]
        covariance[lag] = product / n
        with np.errstate(invalid="ignore", divide="ignore"):
            small[lag] = abs(product) / np.sqrt((late @ late) * (early @ early)) < threshold
        # the first so many autocorrelations in a row that are not significant
        if chosen is None and lag >= least and small[lag - least : lag].all():
            chosen = lag - least
    width = min(2 * max(chosen, 1) if chosen is not None else most, most)
    lags = np.arange(1, width + 1)
    weights = np.where(lags / width <= 0.5, 1.0, 2.0 * (1.0 - lags / width))
    slope = float(2.0 * (weights * lags) @ covariance[1 : width + 1])
    long_run = float(covariance[0] + 2.0 * weights @ covariance[1 : width + 1])
    if long_run == 0.0:
        return 1.0
    length = float(np.cbrt((slope / long_run) ** 2 * n))
    length = min(length, float(np.ceil(min(3.0 * np.sqrt(n), n / 3.0))))
    return float(np.clip(length if math.isfinite(length) else 1.0, 1.0, n / 4.0))


def _studentised(
    x: FloatArray, code: int, rng: np.random.Generator, confidence: float, replicates: int
) -> Interval | NoInterval:
    """Interval of the measure ``code`` of [T, 1 or 2] values, in the unit of one bar."""
    from offline_trader.evaluation.statistics.resampling import influence, standard_error

    x = np.ascontiguousarray(x)
    if len(x) < MIN_BARS:
        return NoInterval(f"{len(x)} known bars, and {MIN_BARS} are the least")
    if any(is_constant(column) for column in x.T):
        return NoInterval("the returns do not vary")
    psi = np.empty(len(x))
    with np.errstate(over="ignore", invalid="ignore"):
        value = float(influence(x, code, psi))
    if not math.isfinite(value) or not np.isfinite(psi).all():
        return NoInterval("the measure is not defined")
    if code == SHARPE_DIFFERENCE:
        one = np.empty(len(x))
        influence(np.ascontiguousarray(x[:, :1]), INTERVAL_MEASURES["sharpe"], one)
        if psi.std() <= _EQUAL * float(one.std()):
            return NoInterval("the two have equal returns, or one is a multiple of the other")
    elif psi.std() <= _EQUAL * (abs(value) if code in _OF_RETURNS else 1.0 + abs(value)):
        return NoInterval("its standard error is only what rounding left")
    block = optimal_block(psi)
    lags = max(1, math.ceil(2.0 * block))
    error = float(standard_error(psi, lags))
    if not (math.isfinite(error) and error > 0.0):
        return NoInterval("the measure is not defined")
    ratios = _sound_ratios(x, code, value, block, error, rng, replicates)
    tail = (1.0 - confidence) / 2.0
    lost = 1.0 - ratios.size / replicates
    if lost > tail:
        return NoInterval(
            f"a few bars decide alone, and {100 * lost:.0f} % of the resamples lack them"
        )
    tail *= TAIL_CALIBRATION
    low, high = np.quantile(ratios, [tail, 1.0 - tail])
    return Interval(
        value=value,
        low=float(value - high * error),
        high=float(value - low * error),
        confidence=confidence,
        standard_error=error,
        block_bars=block,
        n=len(x),
    )


def _sound_ratios(
    x: FloatArray,
    code: int,
    value: float,
    block: float,
    error: float,
    rng: np.random.Generator,
    replicates: int,
) -> FloatArray:
    """[≤ replicates] deviations of the replicates ÷ their own standard errors, without those
    whose error is below ``DEGENERATE`` (or ``_SPREAD``) times the data's."""
    from offline_trader.evaluation.statistics.resampling import (
        bucket_ratios,
        bucket_sums,
        replicate_ratios,
    )

    spread = code == INTERVAL_MEASURES["volatility"]
    least = (DEGENERATE_SPREAD if spread else DEGENERATE) * error
    edges = bucket_edges(len(x), block)
    if edges is not None:
        sizes = np.diff(edges).astype(np.float64)
        inside = max(1.0, block / float(sizes.mean()))
        means = x.mean(axis=0)
        sums = bucket_sums(x, means, edges)
        lags = max(1, math.ceil(2.0 * inside))
        parts = [
            bucket_ratios(sums, sizes, means, indices, code, lags, value, least)
            for indices in _drawn_ahead(len(sums), inside, replicates, rng)
        ]
        found = np.concatenate(parts)
        return np.asarray(found[np.isfinite(found)])
    lags = max(1, math.ceil(2.0 * block))
    ratios = np.concatenate(
        [
            replicate_ratios(x, indices, code, lags, value, least)
            for indices in _drawn_ahead(len(x), block, replicates, rng)
        ]
    )
    return np.asarray(ratios[np.isfinite(ratios)])


def _drawn_ahead(
    n_bars: int, block_bars: float, replicates: int, rng: np.random.Generator
) -> Iterator[IntArray]:
    """:func:`stationary_indices` in chunks; the next is drawn by a second thread while the caller
    works on this one. Drawing takes half of the bootstrap's time and, like the kernels, no lock."""
    sizes = _chunks(replicates, n_bars)
    with ThreadPoolExecutor(1) as ahead:
        following = ahead.submit(stationary_indices, n_bars, block_bars, sizes[0], rng)
        for size in sizes[1:]:
            present = following.result()
            following = ahead.submit(stationary_indices, n_bars, block_bars, size, rng)
            yield present
        yield following.result()


def _chunks(total: int, n_bars: int) -> list[int]:
    """Replicates that are drawn at once, so that few of them lie in memory."""
    size = min(_CHUNK, max(1, _CHUNK_VALUES // n_bars))
    return [min(size, total - start) for start in range(0, total, size)]


def _mapped(interval: Interval, change: Any) -> Interval:
    """The interval under an increasing map; the error by the map's slope at the value."""
    step = 1e-6 * max(abs(interval.value), interval.standard_error)
    slope = (change(interval.value + step) - change(interval.value - step)) / (2.0 * step)
    return Interval(
        value=change(interval.value),
        low=change(interval.low),
        high=change(interval.high),
        confidence=interval.confidence,
        standard_error=slope * interval.standard_error,
        block_bars=interval.block_bars,
        n=interval.n,
    )


def _known(returns: ArrayLike) -> FloatArray:
    r = np.asarray(returns, dtype=np.float64)
    if r.ndim != 1:
        raise DataError(f"returns of shape {r.shape}", expected="one series, shape [T]")
    return r[np.isfinite(r)]


def _check(confidence: float, replicates: int) -> None:
    if not 0.5 <= confidence < 1:
        raise ConfigError(f"confidence {confidence}", expected="from 0.5 to below 1")
    if replicates < 100:
        raise ConfigError(f"{replicates} bootstrap replicates", expected="at least 100")
