"""How an observation shows a portfolio: what the kernel compiles and other code computes alike."""

from __future__ import annotations

from typing import Any

import numpy as np

from offline_trader.types import FloatArray

__all__ = ["hold_scale", "log_single"]

_HOLD_TABLE = 4096


def hold_scale() -> FloatArray:
    """[4096] float64: ``log(1 + h) / log(253)`` for h bars held; longer holds read as 4,095."""
    return np.asarray(np.log1p(np.arange(_HOLD_TABLE)) / np.log(253.0))


def log_single(x: Any) -> Any:
    """Natural logarithm of a positive normal number to single precision.

    x = m · 2^k with m in [√½, √2), log x = k·log 2 + 2·artanh((m − 1)/(m + 1)), the series cut
    where its terms fall below half a unit. Plain arithmetic of numpy scalars, so that the kernel,
    which compiles it, and code without a compiler have the same bits.
    """
    bits = np.float64(x).view(np.int64)
    k = (bits - np.int64(0x3FE6A09E667F3BCD)) >> np.int64(52)
    m = np.int64(bits - (k << np.int64(52))).view(np.float64)
    excess = np.float32(m - 1.0)
    s = excess / (excess + np.float32(2.0))
    z = s * s
    tail = np.float32(1 / 5) + z * (np.float32(1 / 7) + z * np.float32(1 / 9))
    tail = z * (np.float32(1 / 3) + z * tail)
    return np.float64(k) * 0.6931471805599453 + np.float64(s + s + (s + s) * tail)
