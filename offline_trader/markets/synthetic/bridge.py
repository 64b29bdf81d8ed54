"""Highs and lows of bars of which open and close are known."""

from __future__ import annotations

import numpy as np

from offline_trader.markets.synthetic.kernels import bridge_steps
from offline_trader.types import FloatArray

__all__ = ["BRIDGE_STEPS", "bridge_extremes"]

BRIDGE_STEPS = 16
_AT_ONCE = 1 << 13
"""Random numbers drawn at once, if the bars are not more: they stay in the cache."""


def bridge_extremes(
    start: FloatArray, end: FloatArray, sigma: FloatArray | float, noise: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    """Highest and lowest log price [T] of bars from ``start`` to ``end``, both [T].

    Args:
        start, end: [T] log prices.
        sigma: standard deviation inside a bar, [T] or one for all.
        noise: draws the Brownian bridge of :data:`BRIDGE_STEPS` steps.
    """
    here, inside = start.copy(), np.full(start.shape, sigma)
    high, low = np.maximum(start, end), np.minimum(start, end)
    rows = max(1, _AT_ONCE // len(start))
    for first in range(1, BRIDGE_STEPS, rows):
        steps = min(rows, BRIDGE_STEPS - first)
        drawn = noise.standard_normal((steps, len(start)))
        bridge_steps(here, end, inside, high, low, drawn, first, BRIDGE_STEPS)
    return high, low
