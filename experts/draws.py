"""Random numbers by counter: the draw of a lane at a step depends on nothing else.

The number of lanes, their order and the moment of asking change no draw, so more lanes change no
lane, and a part of a collection can be repeated alone.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from offline_trader.splitmix import GOLDEN, mix
from offline_trader.types import FloatArray, IntArray

__all__ = ["normal_draws", "stream_seed", "uniform_draws"]

_MASK = (1 << 64) - 1


@lru_cache(maxsize=4096)
def stream_seed(*keys: int) -> int:
    """A 63-bit seed from integer keys; any changed key gives an unrelated stream.

    Each key passes through :func:`~offline_trader.splitmix.mix`.
    """
    state = np.uint64(0)
    with np.errstate(over="ignore"):  # arithmetic modulo 2⁶⁴ is meant
        for key in keys:
            state = mix((state ^ np.uint64(key & _MASK)) * np.uint64(0xD1B54A32D192ED03) + GOLDEN)
    return int(state >> np.uint64(1))


def uniform_draws(seed: int, lanes: IntArray, steps: IntArray) -> FloatArray:
    """Uniform numbers [N] in [0, 1) with 53 bits, one for every (seed, lane, step).

    Args:
        seed: names the stream (:func:`stream_seed`), 0 to 2⁶³ − 1.
        lanes: [N] lane numbers.
        steps: [N] steps of each lane.
    """
    from offline_trader.experts._draws import uniform

    return np.asarray(uniform(seed, lanes, steps))


def normal_draws(seed: int, lanes: IntArray, steps: IntArray) -> FloatArray:
    """Standard normal numbers [N] by Box and Muller (1958) from two uniform streams."""
    radius = uniform_draws(stream_seed(seed, 1), lanes, steps)
    angle = uniform_draws(stream_seed(seed, 2), lanes, steps)
    return np.sqrt(-2.0 * np.log1p(-radius)) * np.cos(2.0 * np.pi * angle)
