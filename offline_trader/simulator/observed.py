"""How an observation shows a portfolio: what the kernel compiles and other code computes alike."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from offline_trader.types import FloatArray

__all__ = ["hold_scale", "log_single", "single_series"]

_HOLD_TABLE = 4096
_ROOT_OF_HALF = math.sqrt(0.5)
_TWO, _THIRD, _FIFTH = np.float32(2.0), np.float32(1 / 3), np.float32(1 / 5)
_SEVENTH, _NINTH = np.float32(1 / 7), np.float32(1 / 9)


def hold_scale() -> FloatArray:
    """[4096] float64: ``log(1 + h) / log(253)`` for h bars held; longer holds read as 4,095."""
    return np.asarray(np.log1p(np.arange(_HOLD_TABLE)) / np.log(253.0))


def single_series(k: Any, m: Any) -> Any:
    """Natural logarithm of m · 2^k, m in [√½, √2), to single precision.

    log x = k·log 2 + 2·artanh((m − 1)/(m + 1)), the series cut where its terms fall below half a
    unit. Plain arithmetic, so that the kernel, which compiles it, and code without a compiler have
    the same bits.
    """
    excess = np.float32(m - 1.0)
    s = excess / (excess + _TWO)
    z = s * s
    tail = z * (_THIRD + z * (_FIFTH + z * (_SEVENTH + z * _NINTH)))
    return k * 0.6931471805599453 + np.float64(s + s + (s + s) * tail)


def log_single(x: float) -> float:
    """Natural logarithm of a positive normal number to single precision, as the kernel has it."""
    m, k = math.frexp(x)
    if m < _ROOT_OF_HALF:
        m, k = 2.0 * m, k - 1
    return float(single_series(float(k), m))
