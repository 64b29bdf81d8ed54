"""Components of a reward for several objectives, at every step, as array code over lanes.

Of one step of one lane, with the log change r of its equity, x = e^r − 1, the exposures w before
and w' after it, the drawdown D after it as a positive fraction, and the market's simple return g:

- ``profit``: x; where a position is closed that has lost l since it was opened, less l/2, so that
  losses count 1.5 times. Bar by bar they would take ``0.2 σ`` off the mean, more than any market
  pays, and nothing would be best;
- ``risk``: −[(e^{10 (D − 5 %)⁺} − 1) + (VaR₉₅ − 2 %)⁺ + (\\|w'\\| − 95 %)⁺ + σ], VaR₉₅ and σ the
  empirical 5 % quantile and the standard deviation of the last 60 x, 0 before there are 20; a
  drawdown counts up to 25 %, for what grows without bounds no critic can tell;
- ``activity``: min(1, u / 5 %) − 1, u the share of bars with a trade, averaged over 20 bars;
- ``timing``: (w_h − w̄) g, w_h the exposure held over the move and w̄ its average over 60 bars before
  it: what was earned by being in at the right time and not by being in (Grinblatt & Titman 1993);
- ``exploration``: 1/√n for entering a cell of exposure × holding time, visited n times so far;
- ``consistency``: the differential Sharpe ratio of x (Moody & Saffell 2001, equation 15) over 60
  bars, within ±3; not above 0 in a lane that holds nothing.

All read the step itself and those before it, no later extremum. A lane that never trades gets at
most 0 of every component, and −1 of activity.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from offline_trader.learning.engines.fast.compiled import kernel
from offline_trader.learning.settings.objectives import COMPONENTS
from offline_trader.types import BoolArray, FloatArray

__all__ = ["FACTS_OF_A_STEP", "ComponentState", "components_of"]

FACTS_OF_A_STEP: tuple[str, ...] = (
    *("log_growth", "exposure", "exposure_after", "drawdown"),
    *("market_return", "held", "held_after"),
)
"""Columns that a step's components are of: r; w and w'; equity ÷ peak − 1 after it; g; bars held
before and after it."""

_WINDOW = 60
_MOMENTS = 6
"""Steps, share with a trade, mean exposure, the two moments of x, growth since the position was
opened."""
_EXPOSURES, _HOLDS = 21, 8


@kernel
def _components(
    facts: FloatArray,
    begins: BoolArray,
    window: FloatArray,
    moments: FloatArray,
    visits: FloatArray,
    out: FloatArray,
) -> None:  # pragma: no cover - compiled
    """[T, N, K] of facts [T, N, 7]; states [N, 60], [N, 6] and [21 · 8] move on."""
    for t in range(facts.shape[0]):
        for n in range(facts.shape[1]):
            if begins[t, n]:
                moments[n, :] = 0.0
            growth, before, after = facts[t, n, 0], facts[t, n, 1], facts[t, n, 2]
            drawdown, market = -facts[t, n, 3], facts[t, n, 4]
            x = math.expm1(growth)
            place = int(moments[n, 0])
            window[n, place % 60] = x
            moments[n, 0] = place + 1
            count = min(place + 1, 60)
            # profit
            moments[n, 5] += growth
            out[t, n, 0] = x
            if abs(before) < 1e-6:
                moments[n, 5] = growth
            elif before * after <= 0.0 or abs(after) < 1e-6:
                out[t, n, 0] += 0.5 * min(0.0, math.expm1(moments[n, 5]))
                moments[n, 5] = 0.0
            # risk
            spread, value_at_risk = 0.0, 0.0
            if count >= 20:
                total, first, second, third = 0.0, math.inf, math.inf, math.inf
                for i in range(count):
                    value = window[n, i]
                    total += value
                    if value < third:
                        third = value
                        if third < second:
                            second, third = third, second
                            if second < first:
                                first, second = second, first
                mean = total / count
                squares = 0.0
                for i in range(count):
                    squares += (window[n, i] - mean) ** 2
                spread = math.sqrt(squares / count)
                # the nearest rank of 5 %: the first to third lowest of 20 to 60
                value_at_risk = -first
                if count > 40:
                    value_at_risk = -third
                elif count > 20:
                    value_at_risk = -second
            out[t, n, 1] = -(
                math.expm1(10.0 * min(0.2, max(0.0, drawdown - 0.05)))
                + max(0.0, value_at_risk - 0.02)
                + max(0.0, abs(after) - 0.95)
                + spread
            )
            # activity: what exposure would be without an order is known
            drifted = (before + x) / (1.0 + x)
            traded = 1.0 if abs(after - drifted) > 0.01 else 0.0
            moments[n, 1] += (traded - moments[n, 1]) / 20.0
            out[t, n, 2] = min(1.0, moments[n, 1] / 0.05) - 1.0
            # timing
            held = after / (1.0 + market * (1.0 - after))
            out[t, n, 3] = (held - moments[n, 2]) * market
            moments[n, 2] += (held - moments[n, 2]) / 60.0
            # exploration
            cell = _cell(after, facts[t, n, 6])
            out[t, n, 4] = 0.0
            visits[cell] += 1.0
            if cell != _cell(before, facts[t, n, 5]):
                out[t, n, 4] = 1.0 / math.sqrt(visits[cell])
            # consistency
            first_moment, second_moment = moments[n, 3], moments[n, 4]
            variance = second_moment - first_moment**2
            ratio = 0.0
            if variance > 1e-12:
                ratio = second_moment * (x - first_moment)
                ratio -= 0.5 * first_moment * (x * x - second_moment)
                ratio = min(3.0, max(-3.0, ratio / variance**1.5))
            if before == 0.0 and after == 0.0:
                ratio = min(0.0, ratio)
            out[t, n, 5] = ratio
            moments[n, 3] += (x - first_moment) / 60.0
            moments[n, 4] += (x * x - second_moment) / 60.0


@kernel
def _cell(exposure: float, held: float) -> int:  # pragma: no cover - compiled
    """Of 21 exposures in [−1, 1] and 8 holding times, whose bars double."""
    across = min(20, max(0, int((exposure + 1.0) * 10.5)))
    return across * 8 + min(7, int(math.log2(1.0 + max(0.0, held))))


class ComponentState:
    """What the components of the next step read of those before, for N lanes.

    Args:
        lanes: N.
    """

    def __init__(self, lanes: int) -> None:
        self._window: FloatArray = np.zeros((lanes, _WINDOW))
        self._moments: FloatArray = np.zeros((lanes, _MOMENTS))
        self.visits: FloatArray = np.zeros(_EXPOSURES * _HOLDS)

    @property
    def lanes(self) -> int:
        """N."""
        return len(self._window)

    def advance(self, facts: FloatArray, begins: BoolArray) -> FloatArray:
        """[T, N, K] components of T steps; the state moves on by them.

        Row t reads rows up to t alone.

        Args:
            facts: [T, N, 7] float64, columns :data:`FACTS_OF_A_STEP`.
            begins: [T, N] which steps are the first of an episode.
        """
        out = np.empty((*facts.shape[:2], len(COMPONENTS)))
        _components(
            np.ascontiguousarray(facts, np.float64),
            np.ascontiguousarray(begins),
            self._window,
            self._moments,
            self.visits,
            out,
        )
        return out

    def state_dict(self) -> dict[str, NDArray[Any]]:
        """Copies of everything that the next step depends on."""
        return {"window": self._window.copy(), "moments": self._moments.copy(),
                "visits": self.visits.copy()}  # fmt: skip

    def load_state_dict(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Inverse of :meth:`state_dict`."""
        self._window, self._moments = np.array(state["window"]), np.array(state["moments"])
        self.visits = np.array(state["visits"])


def components_of(facts: FloatArray, begins: BoolArray) -> FloatArray:
    """[T, N, K] components of T steps of N lanes that begin anew."""
    return ComponentState(facts.shape[1]).advance(facts, begins)
