"""Compiled kernels of the bootstrap: measure, influence function and standard error of samples."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy as np

from offline_trader.compiled_code import can_be_kept
from offline_trader.types import FloatArray, IntArray

__all__ = [
    "SUMS",
    "bucket_ratios",
    "bucket_sums",
    "influence",
    "replicate_ratios",
    "standard_error",
    "stationary_sample",
]

SUMS = 3
"""Sums that a bucket keeps of a column: of the centred values, their squares, squared losses."""

F = TypeVar("F", bound=Callable[..., Any])


def _compiled(function: F) -> F:
    """``function`` compiled on its first call and kept on disk; sums may be taken in another
    order than written, so that they use the processor's vectors."""
    options = {"cache": can_be_kept(), "nogil": True, "fastmath": {"reassoc", "contract"}}
    return cast("F", numba.njit(**options)(function))


@_compiled
def _sharpe(x: FloatArray, psi: FloatArray, sign: float) -> float:
    """Sharpe ratio of [T] values; ``sign`` times its influence function is added to ``psi``."""
    n = x.size
    mean, square = 0.0, 0.0
    for t in range(n):
        mean += x[t]
    mean /= n
    for t in range(n):
        square += (x[t] - mean) ** 2
    deviation = math.sqrt(square / (n - 1))
    if deviation == 0.0:
        return math.nan
    ratio = mean / deviation
    for t in range(n):
        z = (x[t] - mean) / deviation
        psi[t] += sign * (z - 0.5 * ratio * (z * z - 1.0))
    return ratio


@_compiled
def _sortino(x: FloatArray, psi: FloatArray) -> float:
    n = x.size
    mean, square = 0.0, 0.0
    for t in range(n):
        mean += x[t]
        if x[t] < 0.0:
            square += x[t] * x[t]
    mean /= n
    square /= n
    if square == 0.0:
        return math.nan
    downside = math.sqrt(square)
    ratio = mean / downside
    for t in range(n):
        loss = x[t] * x[t] if x[t] < 0.0 else 0.0
        psi[t] = (x[t] - mean) / downside - ratio * (loss - square) / (2.0 * square)
    return ratio


@_compiled
def _volatility(x: FloatArray, psi: FloatArray) -> float:
    n = x.size
    mean, square = 0.0, 0.0
    for t in range(n):
        mean += x[t]
    mean /= n
    for t in range(n):
        square += (x[t] - mean) ** 2
    deviation = math.sqrt(square / (n - 1))
    if deviation == 0.0:
        return math.nan
    for t in range(n):
        psi[t] = ((x[t] - mean) ** 2 - deviation**2) / (2.0 * deviation)
    return deviation


@_compiled
def influence(x: FloatArray, code: int, psi: FloatArray) -> float:
    """Measure ``code`` of [T, 1 or 2] values; its influence function is written to ``psi`` [T].

    0 Sharpe, 1 Sortino, 2 volatility, 3 mean, 4 difference of the columns' Sharpe ratios.
    """
    psi[:] = 0.0
    if code == 0:
        return _sharpe(x[:, 0], psi, 1.0)
    if code == 1:
        return _sortino(x[:, 0], psi)
    if code == 2:
        return _volatility(x[:, 0], psi)
    if code == 4:
        first = _sharpe(x[:, 0], psi, 1.0)
        return first - _sharpe(x[:, 1], psi, -1.0)
    mean = 0.0
    for t in range(len(x)):
        mean += x[t, 0]
    mean /= len(x)
    for t in range(len(x)):
        psi[t] = x[t, 0] - mean
    return mean


@_compiled
def standard_error(psi: FloatArray, lags: int) -> float:
    """√(long-run variance ÷ T) of [T] values, Parzen's kernel over ``lags`` lags."""
    n = psi.size
    mean = 0.0
    for t in range(n):
        mean += psi[t]
    centred = psi - mean / n
    total = 0.0
    for t in range(n):
        total += centred[t] * centred[t]
    variance = total
    for lag in range(1, min(lags, n - 1) + 1):
        early, late = centred[: n - lag], centred[lag:]
        product = 0.0
        for t in range(n - lag):
            product += early[t] * late[t]
        u = lag / (lags + 1.0)
        weight = 1.0 - 6.0 * u * u + 6.0 * u**3 if u < 0.5 else 2.0 * (1.0 - u) ** 3
        variance += 2.0 * weight * product
    return math.sqrt(max(variance, 1e-12 * total)) / n


@_compiled
def replicate_ratios(
    x: FloatArray, indices: IntArray, code: int, lags: int, value: float, least_error: float
) -> FloatArray:
    """[B] (measure of the sample − ``value``) ÷ the sample's own standard error; NaN where that
    error is below ``least_error``."""
    replicates, n = indices.shape
    ratios = np.empty(replicates)
    sample = np.empty((n, x.shape[1]))
    psi = np.empty(n)
    for b in range(replicates):
        for t in range(n):
            for column in range(x.shape[1]):
                sample[t, column] = x[indices[b, t], column]
        deviation = influence(sample, code, psi) - value
        error = standard_error(psi, lags)
        ratios[b] = deviation / error if error >= least_error else math.nan
    return ratios


@_compiled
def stationary_sample(starts: IntArray, uniform: FloatArray, new_block: float) -> None:
    """Turn drawn bar numbers [T] into a stationary-bootstrap sample, in place.

    A bar begins a block, as drawn, where ``uniform`` [T] is at most ``new_block``; otherwise it is
    the one after the bar before it, the first after the last.
    """
    n = starts.size
    for t in range(1, n):
        if uniform[t] > new_block:
            follower = starts[t - 1] + 1
            starts[t] = follower if follower < n else 0


@_compiled
def bucket_sums(x: FloatArray, means: FloatArray, edges: IntArray) -> FloatArray:
    """[buckets, 3 · columns] sums of each bucket's bars, see :data:`SUMS`."""
    buckets, columns = edges.size - 1, x.shape[1]
    sums = np.zeros((buckets, SUMS * columns))
    for i in range(buckets):
        for t in range(edges[i], edges[i + 1]):
            for c in range(columns):
                centred = x[t, c] - means[c]
                loss = min(x[t, c], 0.0)
                sums[i, SUMS * c] += centred
                sums[i, SUMS * c + 1] += centred * centred
                sums[i, SUMS * c + 2] += loss * loss
    return sums


@_compiled
def _bucket_influence(
    sums: FloatArray, sizes: FloatArray, column: int, centre: float, code: int, sign: float,
    psi: FloatArray,
) -> float:  # fmt: skip
    """Measure ``code`` (not 4) of one column from bucket sums; ``sign`` times its influence
    function, summed over each bucket, is added to ``psi``."""
    first = SUMS * column
    total, square, losses, bars = 0.0, 0.0, 0.0, 0.0
    for i in range(sizes.size):
        total += sums[i, first]
        square += sums[i, first + 1]
        losses += sums[i, first + 2]
        bars += sizes[i]
    off = total / bars
    mean = centre + off
    if code == 3:
        for i in range(sizes.size):
            psi[i] += sign * (sums[i, first] - sizes[i] * off)
        return mean
    if code == 1:
        downside = math.sqrt(losses / bars)
        if downside == 0.0:
            return math.nan
        ratio = mean / downside
        for i in range(sizes.size):
            loss = sums[i, first + 2] / (downside * downside) - sizes[i]
            psi[i] += sign * ((sums[i, first] - sizes[i] * off) / downside - 0.5 * ratio * loss)
        return ratio
    deviation = math.sqrt(max(square - bars * off * off, 0.0) / (bars - 1.0))
    if deviation == 0.0:
        return math.nan
    ratio = mean / deviation
    for i in range(sizes.size):
        centred = sums[i, first] - sizes[i] * off
        squares = sums[i, first + 1] - 2.0 * off * sums[i, first] + sizes[i] * off * off
        excess = squares / (deviation * deviation) - sizes[i]
        if code == 2:
            psi[i] += sign * 0.5 * deviation * excess
        else:
            psi[i] += sign * (centred / deviation - 0.5 * ratio * excess)
    return deviation if code == 2 else ratio


@_compiled
def bucket_ratios(
    sums: FloatArray, sizes: FloatArray, means: FloatArray, indices: IntArray, code: int,
    lags: int, value: float, least_error: float,
) -> FloatArray:  # fmt: skip
    """:func:`replicate_ratios` of samples [B, buckets] of whole buckets."""
    replicates, n = indices.shape
    ratios = np.empty(replicates)
    drawn, drawn_sizes, psi = np.empty((n, sums.shape[1])), np.empty(n), np.empty(n)
    for b in range(replicates):
        bars = 0.0
        for i in range(n):
            here = indices[b, i]
            drawn_sizes[i] = sizes[here]
            bars += sizes[here]
            psi[i] = 0.0
            for c in range(sums.shape[1]):
                drawn[i, c] = sums[here, c]
        if code == 4:
            found = _bucket_influence(drawn, drawn_sizes, 0, means[0], 0, 1.0, psi)
            found -= _bucket_influence(drawn, drawn_sizes, 1, means[1], 0, -1.0, psi)
        else:
            found = _bucket_influence(drawn, drawn_sizes, 0, means[0], code, 1.0, psi)
        # the standard error of a mean over buckets is that of a sum; here it is a sum over bars
        error = standard_error(psi, lags) * n / bars
        ratios[b] = (found - value) / error if error >= least_error else math.nan
    return ratios
