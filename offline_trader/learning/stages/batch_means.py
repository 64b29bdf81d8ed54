"""How far the mean of a difference over bars that depend on each other can be trusted."""

from __future__ import annotations

import math

import numpy as np
from scipy.special import stdtrit

from offline_trader.types import FloatArray

__all__ = ["paired_interval"]


def paired_interval(difference: FloatArray, pairs: int = 1) -> tuple[float, float, float]:
    """Mean of a series [n] and the bounds of its 95 % interval by batch means.

    Of the best of several ``pairs``, whose luck is the greatest, they are those that hold for all
    at once (Bonferroni).

    Blocks of √n neighbours stand for dependence between bars: ``mean ± t · sd(blocks)/√blocks``
    (Law & Kelton, Simulation Modeling and Analysis, on batch means). Fewer than 4 bars have no
    bounds.
    """
    n = len(difference)
    blocks = math.isqrt(n)
    if blocks < 2:
        return float(difference.mean()) if n else 0.0, -math.inf, math.inf
    means = np.array([part.mean() for part in np.array_split(difference, blocks)])
    spread = float(stdtrit(blocks - 1, 1.0 - 0.025 / pairs) * means.std(ddof=1) / math.sqrt(blocks))
    mean = float(difference.mean())
    return mean, mean - spread, mean + spread
