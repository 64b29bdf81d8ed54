"""Compiled counter-based uniform numbers."""

from __future__ import annotations

import numpy as np
from numba import njit

from offline_trader.compiled_code import can_be_kept
from offline_trader.splitmix import GOLDEN, mix
from offline_trader.types import FloatArray, IntArray

__all__ = ["uniform"]

_mix = njit(inline="always")(mix)


@njit(cache=can_be_kept())  # type: ignore[untyped-decorator]
def uniform(
    seed: int, lanes: IntArray, steps: IntArray
) -> FloatArray:  # pragma: no cover - compiled
    """Uniform numbers [N] in [0, 1): two rounds of SplitMix64's finaliser over the counters."""
    drawn = np.empty(lanes.shape[0])
    for n in range(lanes.shape[0]):
        x = np.uint64(lanes[n]) * np.uint64(0xD1B54A32D192ED03) + np.uint64(seed)
        x = _mix(_mix(x) + (np.uint64(steps[n]) + np.uint64(1)) * GOLDEN)
        drawn[n] = np.float64(x >> np.uint64(11)) * 2.0**-53
    return drawn
