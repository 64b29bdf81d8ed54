"""Compiled backward sweep of the perfect-foresight recursion."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from offline_trader.compiled_code import can_be_kept
from offline_trader.types import FloatArray

__all__ = ["backward_sweep", "follow_bands"]


@njit(cache=can_be_kept())  # type: ignore[untyped-decorator]
def backward_sweep(
    returns: FloatArray, cost: float, grid: FloatArray
) -> tuple[NDArray[np.int16], FloatArray]:  # pragma: no cover - compiled
    """Best next grid index [T, K] from every grid index, and the value [K] at bar 0.

    ``V_t(k) = max_j [a_j r_t + V_{t+1}(j) − c |a_j − a_k|]``, ``V_T = 0``. The maximum over j is
    an L1 distance transform: one pass upwards, one downwards, so O(T·K). A tie keeps the position.
    """
    n_bars, n_grid = returns.shape[0], grid.shape[0]
    choice = np.empty((n_bars, n_grid), dtype=np.int16)
    value = np.zeros(n_grid)
    for back in range(n_bars):
        t = n_bars - 1 - back
        for j in range(n_grid):
            value[j] += grid[j] * returns[t]
            choice[t, j] = j
        for j in range(1, n_grid):
            moved = value[j - 1] - cost * (grid[j] - grid[j - 1])
            if moved > value[j]:
                value[j] = moved
                choice[t, j] = choice[t, j - 1]
        for back_j in range(1, n_grid):
            j = n_grid - 1 - back_j
            moved = value[j + 1] - cost * (grid[j + 1] - grid[j])
            if moved > value[j]:
                value[j] = moved
                choice[t, j] = choice[t, j + 1]
    return choice, value


@njit(cache=can_be_kept())  # type: ignore[untyped-decorator]
def follow_bands(
    low: FloatArray, high: FloatArray, start: float
) -> FloatArray:  # pragma: no cover - compiled
    """Positions [T] of ``a_t = clip(a_{t−1}, low_t, high_t)`` from ``a_{−1} = start``."""
    positions = np.empty(low.shape[0])
    here = start
    for t in range(low.shape[0]):
        here = min(max(here, low[t]), high[t])
        positions[t] = here
    return positions
