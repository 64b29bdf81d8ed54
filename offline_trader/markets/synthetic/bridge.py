"""Highs and lows of bars of which open and close are known."""

from __future__ import annotations

import math

import numpy as np

from offline_trader.types import FloatArray

__all__ = ["BRIDGE_STEPS", "bridge_extremes"]

BRIDGE_STEPS = 16


def bridge_extremes(
    start: FloatArray, end: FloatArray, sigma: FloatArray | float, noise: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    """Highest and lowest log price [T] of bars from ``start`` to ``end``, both [T].

    Args:
        start, end: [T] log prices.
        sigma: standard deviation inside a bar, [T] or one for all.
        noise: draws the Brownian bridge of :data:`BRIDGE_STEPS` steps.
    """
    high, low = np.maximum(start, end), np.minimum(start, end)
    here = start.copy()
    for step in range(1, BRIDGE_STEPS):
        left = BRIDGE_STEPS - step + 1
        spread = sigma * math.sqrt((left - 1) / left / BRIDGE_STEPS)
        here = here + (end - here) / left + spread * noise.standard_normal(len(here))
        np.maximum(high, here, out=high)
        np.minimum(low, here, out=low)
    return high, low
