"""A limit on the risk of the lanes' steps, and the price that holds it.

``max J  s.t.  E[c] ≤ 0`` is climbed as ``J − λ E[c]``, λ moved by what the lanes did last
(:func:`~offline_trader.learning.estimators.priced`). c of a step is

- ``drawdown``: ``1[D > d] / tail − 1``: at most the share ``tail`` of the bars ends deeper than d
  below the account's peak;
- ``cvar``: ``(ν + (l − ν)⁺ / tail) / d − 1``, l the loss of the bar, ν its ``1 − tail`` quantile:
  the mean of the worst ``tail`` is at most d (Rockafellar & Uryasev 2000, theorem 1).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from offline_trader.learning.estimators import priced
from offline_trader.learning.settings.objectives import ObjectivesConfig
from offline_trader.types import FloatArray

__all__ = ["Limit"]

_REMEMBERED, _FEWEST = 4_096, 256


class Limit:
    """See the module.

    Args:
        config: kind, limit, tail and rate.

    Attributes:
        price: λ.
    """

    def __init__(self, config: ObjectivesConfig) -> None:
        self._config = config
        self.price = 0.0
        self._known: FloatArray = np.zeros(0)
        self._quantile = config.at_most

    @property
    def weight(self) -> float:
        """Of the limit beside weights that add up to 1: ``λ / (1 + λ)``."""
        return self.price / (1.0 + self.price)

    def costs(self, drawdowns: Tensor, growth: Tensor) -> Tensor:
        """c of steps, of any shape.

        Args:
            drawdowns: equity ÷ peak − 1 after the step.
            growth: log change of equity in it.
        """
        config = self._config
        if config.limit == "drawdown":
            return (drawdowns < -config.at_most).to(growth) / config.tail - 1.0
        beyond = (-torch.expm1(growth) - self._quantile).clamp(min=0.0)
        return (self._quantile + beyond / config.tail) / config.at_most - 1.0

    def watch(self, drawdowns: FloatArray, growth: FloatArray) -> None:
        """Move the price by what N lanes did in a step, and some 4,000 before it."""
        drawdown = self._config.limit == "drawdown"
        seen = drawdowns if drawdown else growth
        self._known = np.concatenate([self._known, seen])[-_REMEMBERED:]
        if len(self._known) < _FEWEST:
            return
        if not drawdown:
            self._quantile = float(np.quantile(-np.expm1(self._known), 1.0 - self._config.tail))
        known = torch.from_numpy(self._known)
        excess = float(self.costs(known, known).mean())
        # a broken limit is up to 1/tail away, a kept one at most 1: both move the price alike
        self.price = priced(self.price, min(1.0, excess), self._config.price_rate)

    def state_dict(self) -> dict[str, Any]:
        """Price and what it is moved by."""
        return {
            "numbers": [self.price, self._quantile],
            "known": torch.from_numpy(self._known.copy()),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Inverse of :meth:`state_dict`."""
        self.price, self._quantile = state["numbers"]
        self._known = state["known"].numpy().copy()
