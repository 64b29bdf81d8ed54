"""Trading rules of one's own, for every command that takes an expert.

    offline-trader audit expert:examples/my_rules.py:dips
    offline-trader evaluate expert:examples/my_rules.py:trend --start 2015-01-01
    offline-trader collect --expert 'examples/my_rules.py:dips?epsilon=0.1' --expert random

A rule gets named columns of N lanes, each an array [N], and answers with N numbers. Row n of the
answer may read row n of the columns only; nothing is remembered from bar to bar.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

Columns = Mapping[str, NDArray[np.float64]]


def dips(
    features: Columns, portfolio: Columns, size: float = 0.6, below: float = 0.40
) -> NDArray[np.float64]:
    """Buys weakness with a share of the cash, sells everything on strength."""
    flat = portfolio["exposure"] < 1e-3
    strength = features["rsi_14"]  # 0 to 1
    buy, sell = flat & (strength < below), ~flat & (strength > 0.65)
    return np.where(buy, size, np.where(sell, -1.0, 0.0))


def trend(
    features: Columns, portfolio: Columns, volatility: float = 0.10, space: str = "target"
) -> NDArray[np.float64]:
    """Holds a weight inverse to volatility while the 50-bar average is above the 200-bar one."""
    yearly = features["volatility_20"] * np.sqrt(252.0)
    weight = np.minimum(volatility / np.maximum(yearly, 0.01), 1.0)
    return np.where(features["sma_cross_50_200"] > 0.0, weight, 0.0)
