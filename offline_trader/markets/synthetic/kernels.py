"""The compiled arithmetic of synthetic markets: random numbers in, log prices out.

One file on purpose: numba's disk cache sees a change of the file that holds a kernel, not of
files that the kernel calls into. The random numbers come from numpy's generators, and no
floating-point rule is relaxed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy as np
from numpy.typing import NDArray

from offline_trader.compiled_code import can_be_kept
from offline_trader.types import FloatArray, IntArray

__all__ = [
    "ar1",
    "bridge_steps",
    "lasting",
    "opens_and_closes",
    "spawned_words",
    "turbulent_returns",
]

_HASH, _HASH_STEP = np.uint32(0x43B0D7E5), np.uint32(0x931E8875)
_OUTPUT, _OUTPUT_STEP = np.uint32(0x8B51F9DD), np.uint32(0x58F38DED)
_MIX_LEFT, _MIX_RIGHT = np.uint32(0xCA01F9DD), np.uint32(0x4973F715)
"""Constants of O'Neill's ``seed_seq``."""

F = TypeVar("F", bound=Callable[..., Any])


def _compiled(function: F) -> F:
    options = {"cache": can_be_kept(), "nogil": True, "error_model": "numpy"}
    return cast("F", numba.njit(**options)(function))


@_compiled
def turbulent_returns(
    shocks: FloatArray,
    garch: tuple[float, float, float],
    known: FloatArray,
    signal: tuple[float, float],
    regimes: IntArray,
    drifts: FloatArray,
    units: FloatArray,
    jumps: FloatArray,
) -> tuple[FloatArray, FloatArray]:
    """Log returns [n] of a turbulent market and their standard deviations [n].

    Args:
        shocks: [n] z, of variance 1.
        garch: α, γ and β of GJR-GARCH.
        known: [n] d, the AR(1) signal at the close of each bar.
        signal: c and √(1 − c²).
        regimes: [n] number of each bar's regime.
        drifts, units: [R] of each regime, drift before volatility and σ where ``h`` is 1.
        jumps: [n] log jumps, or [0]: none.
    """
    n = shocks.size
    alpha, gamma, beta = garch
    c, own = signal
    r, sigma = np.empty(n), np.empty(n)
    h, before = 1.0, 0.0
    for t in range(n):
        z, g = shocks[t], regimes[t]
        s = units[g] * np.sqrt(h)
        jump = jumps[t] if jumps.size else 0.0
        r[t] = s * (drifts[g] + c * before + own * z) + jump - 0.5 * (s * s)
        sigma[t], before = s, known[t]
        rise = alpha + gamma if z < 0.0 else alpha
        h = 1.0 - alpha - 0.5 * gamma - beta + (rise * (z * z) + beta) * h
    return r, sigma


@_compiled
def lasting(drawn: FloatArray, begins: FloatArray, bounds: FloatArray, chance: float) -> IntArray:
    """[n] numbers that each last until the next one begins.

    Args:
        drawn: [n] uniform in [0, 1), which number would begin here.
        begins: [n] uniform in [0, 1), below ``chance`` where one does.
        bounds: [R] cumulated shares of the numbers 0 to R − 1, the last of them 1.
        chance: that one begins.
    """
    found = np.empty(drawn.size, np.int64)
    now = 0
    for t in range(drawn.size):
        if t == 0 or begins[t] < chance:
            now = 0
            while bounds[now] <= drawn[t]:
                now += 1
        found[t] = now
    return found


@_compiled
def ar1(pushes: FloatArray, keep: float) -> FloatArray:
    """[n] ``y_t = keep·y_{t−1} + pushes_t`` from ``y_{−1} = 0`` on."""
    found = np.empty(pushes.size)
    y = 0.0
    for t in range(pushes.size):
        y = keep * y + pushes[t]
        found[t] = y
    return found


@_compiled
def opens_and_closes(
    r: FloatArray, sigma: FloatArray, gaps: FloatArray, overnight: float
) -> tuple[FloatArray, FloatArray]:
    """Log opens [T] and closes [T] of bars, relative to the close before the first.

    Args:
        r, sigma: [T] log returns and their standard deviations.
        gaps: [T] standard normal, of the part of a return before the open that is not its share.
        overnight: share of the variance before the open.
    """
    spread = np.sqrt(overnight) * np.sqrt(1.0 - overnight)
    opens, closes = np.empty(r.size), np.empty(r.size)
    close = 0.0
    for t in range(r.size):
        opens[t] = close + (overnight * r[t] + spread * sigma[t] * gaps[t])
        close += r[t]
        closes[t] = close
    return opens, closes


@_compiled
def bridge_steps(
    here: FloatArray,
    end: FloatArray,
    sigma: FloatArray,
    high: FloatArray,
    low: FloatArray,
    noise: FloatArray,
    first: int,
    steps: int,
) -> None:
    """Some steps of the Brownian bridges of T bars, in place.

    Args:
        here: [T] log prices, at which the bridges have arrived.
        end: [T] log prices at which they end.
        sigma: [T] standard deviations inside a bar.
        high, low: [T] extremes so far.
        noise: [S, T] standard normal, of S steps.
        first: number of the first of the steps, from 1.
        steps: of a whole bridge.
    """
    for i in range(noise.shape[0]):
        left = steps - (first + i) + 1
        spread = np.sqrt((left - 1) / left / steps)
        for t in range(here.size):
            x = here[t] + (end[t] - here[t]) / left + sigma[t] * spread * noise[i, t]
            here[t] = x
            high[t] = max(high[t], x)
            low[t] = min(low[t], x)


@_compiled
def _hashed(word: Any, factor: Any, step: Any) -> tuple[Any, Any]:
    """A word of 32 bits hashed, and the factor of the next one."""
    following = np.uint32(factor * step)
    word = np.uint32(np.uint32(word ^ factor) * following)
    return np.uint32(word ^ (word >> np.uint32(16))), following


@_compiled
def _mixed(x: Any, y: Any) -> Any:
    mixed = np.uint32(_MIX_LEFT * x - _MIX_RIGHT * y)
    return np.uint32(mixed ^ (mixed >> np.uint32(16)))


@_compiled
def spawned_words(seed: NDArray[np.uint32], n: int) -> NDArray[np.uint64]:
    """[n, 4] with what PCG64 begins in each child of numpy's ``SeedSequence``.

    The hash is O'Neill's ``seed_seq``, as numpy documents it and keeps it.

    Args:
        seed: [4 or more] its words, the lowest first.
        n: number of children.
    """
    pool, factor = np.empty(4, np.uint32), _HASH
    for i in range(4):
        pool[i], factor = _hashed(seed[i], factor, _HASH_STEP)
    for i in range(4):
        for k in range(4):
            if i != k:
                word, factor = _hashed(pool[i], factor, _HASH_STEP)
                pool[k] = _mixed(pool[k], word)
    for i in range(4, seed.size):
        for k in range(4):
            word, factor = _hashed(seed[i], factor, _HASH_STEP)
            pool[k] = _mixed(pool[k], word)
    found, child = np.empty((n, 4), np.uint64), np.empty(4, np.uint32)
    for i in range(n):
        last = factor
        for k in range(4):
            word, last = _hashed(np.uint32(i), last, _HASH_STEP)
            child[k] = _mixed(pool[k], word)
        given = _OUTPUT
        for k in range(4):
            low, given = _hashed(child[2 * k % 4], given, _OUTPUT_STEP)
            high, given = _hashed(child[2 * k % 4 + 1], given, _OUTPUT_STEP)
            found[i, k] = np.uint64(high) << np.uint64(32) | np.uint64(low)
    return found
