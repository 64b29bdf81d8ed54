"""Is the policy better than what it is compared with, or did it get lucky?

Hansen's test for superior predictive ability ("A test for superior predictive ability", J. of
Business & Economic Statistics 23, 2005), on samples of arch's stationary bootstrap (arch's own
test does not studentise), and the interquartile mean across seeds with its stratified bootstrap
interval (Agarwal et al., "Deep reinforcement learning at the edge of the statistical precipice",
NeurIPS 2021).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from offline_trader.errors import ConfigError, DataError
from offline_trader.evaluation.measures import is_constant
from offline_trader.evaluation.statistics.bootstrap import MIN_BARS, optimal_block, resampled_means
from offline_trader.types import FloatArray

__all__ = [
    "SeedSummary",
    "interquartile_mean",
    "seed_summary",
    "superior_to_all",
    "superior_to_benchmark",
]


def superior_to_benchmark(
    models: ArrayLike,
    benchmark: ArrayLike,
    *,
    rng: np.random.Generator,
    replicates: int = 1000,
) -> float | None:
    """p-value of the hypothesis that none of the models earns more than the benchmark.

    With several columns it accounts for the choice of the best: give every policy that was tried.
    Returns are compared, not ratios of return to risk. Hansen's studentised statistic: with d the
    models' returns less the benchmark's, d̄ [K] their means, ω [K] the standard deviations of √T·d̄

        T_SPA = max(0, max_k √T·d̄_k / ω_k)

    against max(0, max_k √T·(d̄*_k − g_k) / ω_k) of the resamples, where g_k = d̄_k for a model that
    is not worse than the benchmark by √(2 log log T) standard errors, else 0 (the consistent
    p-value).

    Args:
        models: [T] or [T, K] returns.
        benchmark: [T] returns on the same bars.

    Returns:
        Hansen's consistent p-value, 1 where no model earned more; None for fewer than 30 bars or no
        difference at all.

    Raises:
        DataError: shapes that do not fit.
    """
    tried = np.asarray(models, dtype=np.float64)
    tried = tried[:, None] if tried.ndim == 1 else tried
    base = np.asarray(benchmark, dtype=np.float64)
    if base.ndim != 1 or tried.ndim != 2 or len(tried) != len(base):
        raise DataError(f"models {tried.shape}, benchmark {base.shape}", expected="[T, K] and [T]")
    known = np.isfinite(base) & np.isfinite(tried).all(axis=1)
    ahead = tried[known] - base[known, None]
    if len(ahead) < MIN_BARS:
        return None
    ahead = ahead[:, [not is_constant(column) for column in ahead.T]]
    if ahead.shape[1] == 0:
        return None
    block = max(2.0, *(optimal_block(column) for column in ahead.T))
    mean, root = ahead.mean(axis=0), math.sqrt(len(ahead))
    deviation = np.sqrt(_long_run_variance(ahead, block))
    statistic = max(0.0, float((root * mean / deviation).max()))
    hopeless = root * mean / deviation < -math.sqrt(2.0 * math.log(math.log(len(ahead))))
    centre = np.where(hopeless, 0.0, mean)
    drawn = resampled_means(ahead, block, replicates, rng)
    null = np.maximum(0.0, (root * (drawn - centre) / deviation).max(axis=1))
    return float(np.mean(null >= statistic))


def _long_run_variance(values: FloatArray, block: float) -> FloatArray:
    """[K] variance of √T·mean of [T, K] values under the stationary bootstrap with this mean block.

    ``γ₀ + 2 Σ κ_i γ_i`` with ``κ_i = (T − i)/T·(1 − q)^i + i/T·(1 − q)^(T − i)``, q = 1/block
    (Politis & Romano 1994, lemma 1; Hansen 2005, p. 372).
    """
    n = len(values)
    centred = values - values.mean(axis=0)
    spectrum = np.abs(np.fft.rfft(centred, 2 * n, axis=0)) ** 2
    covariance = np.fft.irfft(spectrum, 2 * n, axis=0)[:n] / n
    lag = np.arange(1, n)
    stay = 1.0 - 1.0 / block
    weight = (n - lag) / n * stay**lag + lag / n * stay ** (n - lag)
    variance = covariance[0] + 2.0 * weight @ covariance[1:]
    return np.asarray(np.maximum(variance, 1e-12 * covariance[0]))


def superior_to_all(
    returns: ArrayLike,
    comparators: Sequence[ArrayLike],
    *,
    rng: np.random.Generator,
    replicates: int = 1000,
) -> float | None:
    """p-value of the hypothesis that at least one comparator is as good as the policy.

    The greatest of the pairwise p-values (an intersection–union test): small only where the
    policy beats every one of them.
    """
    found = [
        superior_to_benchmark(returns, each, rng=rng, replicates=replicates) for each in comparators
    ]
    known = [p for p in found if p is not None]
    return max(known) if known and len(known) == len(found) else None


def interquartile_mean(scores: ArrayLike) -> float:
    """Mean of the middle half of all scores, with fractional weights at its two ends.

    For n scores each end cuts n/4 of them off; where n/4 is not whole, the next score counts for
    the rest of its weight, so that no seed appears or vanishes at once.
    """
    ordered = np.sort(np.asarray(scores, dtype=np.float64), axis=None)
    if ordered.size == 0:
        raise DataError("no scores", expected="at least one")
    return float(ordered @ _middle_weights(ordered.size))


def _middle_weights(n: int) -> FloatArray:
    """[n] weights of the order statistics in the interquartile mean."""
    edges = np.arange(n + 1)
    inside = np.clip(np.minimum(edges[1:], 0.75 * n) - np.maximum(edges[:-1], 0.25 * n), 0.0, 1.0)
    return np.asarray(inside / inside.sum())


@dataclass(frozen=True)
class SeedSummary:
    """Scores across seeds.

    Attributes:
        iqm: interquartile mean over all tasks and seeds.
        interval: its stratified bootstrap interval; None for fewer than 3 seeds of some task.
        mean, sd, minimum, maximum: over all scores.
        n: number of scores.
    """

    iqm: float
    interval: tuple[float, float] | None
    mean: float
    sd: float | None
    minimum: float
    maximum: float
    n: int


def seed_summary(
    scores: Sequence[ArrayLike] | ArrayLike,
    *,
    rng: np.random.Generator,
    confidence: float = 0.95,
    replicates: int = 5000,
) -> SeedSummary:
    """Interquartile mean with its interval.

    Args:
        scores: [seeds] of one task, or a sequence of tasks with [seeds] each. The bootstrap
            draws seeds with replacement within each task (stratified).

    Raises:
        DataError: no score, or one that is no number.
        ConfigError: settings out of range.
    """
    if replicates < 100 or not 0.5 <= confidence < 1:
        raise ConfigError(
            f"{replicates} replicates at {confidence}", expected="at least 100, from 0.5 to 1"
        )
    tasks = _tasks(scores)
    everything = np.concatenate(tasks)
    if everything.size == 0 or not np.isfinite(everything).all():
        raise DataError("scores are missing or no numbers", expected="a number for every seed")
    interval = None
    if min(task.size for task in tasks) >= 3:
        drawn = [task[rng.integers(task.size, size=(replicates, task.size))] for task in tasks]
        samples = np.sort(np.concatenate(drawn, axis=1), axis=1) @ _middle_weights(everything.size)
        tail = (1.0 - confidence) / 2.0
        low, high = np.quantile(samples, [tail, 1.0 - tail])
        interval = (float(low), float(high))
    return SeedSummary(
        iqm=interquartile_mean(everything),
        interval=interval,
        mean=float(everything.mean()),
        sd=float(everything.std(ddof=1)) if everything.size > 1 else None,
        minimum=float(everything.min()),
        maximum=float(everything.max()),
        n=everything.size,
    )


def _tasks(scores: Sequence[ArrayLike] | ArrayLike) -> list[FloatArray]:
    if isinstance(scores, np.ndarray):
        return [np.asarray(row, dtype=np.float64) for row in np.atleast_2d(scores)]
    if isinstance(scores, Sequence):
        if all(np.ndim(each) == 0 for each in scores):
            return [np.asarray(scores, dtype=np.float64)]
        return [np.asarray(each, dtype=np.float64).reshape(-1) for each in scores]
    return [np.asarray(scores, dtype=np.float64).reshape(-1)]
