"""SplitMix64's finaliser, of which every random number by counter is made."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["GOLDEN", "mix"]

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
"""2⁶⁴ divided by the golden ratio, odd: what SplitMix64 adds before each number."""


def mix(x: Any) -> Any:
    """A bijection of 64 bits that scatters them (Steele, Lea, Flood 2014, as Stafford's mix 13).

    Args:
        x: uint64, one or an array; compiled code takes it through numba as it is.
    """
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
