"""Does the model still decide? Its last actions' verdict, and how sure an action is.

The verdict is that of ``offline-trader evaluate`` on what was executed: share of holds, effective
actions (e^H over 21 bins) and spread, over the last decisions in the place of an evaluation's.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence

import numpy as np

from offline_trader.splitmix import GOLDEN, mix
from offline_trader.types import Observations

__all__ = ["COLLAPSE", "ActionWindow", "Confidence"]

COLLAPSE = {"hold_share": 0.98, "n_effective": 1.5, "std": 0.02}
"""Beyond these the last actions are COLLAPSED, as an evaluation's are
(``evaluation.measures.CollapseThresholds``)."""
_BINS = 21
_COPIES = 16
_NOISE = 0.05
_SURE = 1e6


class ActionWindow:
    """The last actions of a model.

    Args:
        length: decisions that are judged; 0: none.
    """

    def __init__(self, length: int) -> None:
        self._length = length
        self._last: deque[tuple[float, bool]] = deque()
        self._bins = [0] * _BINS
        self._holds = 0
        self._sum = self._squares = 0.0

    @classmethod
    def of(cls, actions: Sequence[float], held: Sequence[bool]) -> ActionWindow:
        """A window that is full of these decisions, oldest first."""
        made, values = cls(len(actions)), np.asarray(actions, dtype=np.float64)
        made._last.extend(zip(actions, held, strict=True))
        bins = np.minimum(((values + 1.0) * (_BINS / 2.0)).astype(np.int64), _BINS - 1)
        made._bins = np.bincount(bins, minlength=_BINS).tolist()
        made._holds = sum(held)
        made._sum, made._squares = float(values.sum()), float(values @ values)
        return made

    def add(self, action: float, *, held: bool) -> None:
        """A decision; ``held``: it asked for no order."""
        if self._length == 0:
            return
        self._last.append((action, held))
        self._count(action, held, 1)
        if len(self._last) > self._length:
            self._count(*self._last.popleft(), -1)

    @property
    def verdict(self) -> str:
        """Why the actions are COLLAPSED; empty: they are not, or are too few to say."""
        n = len(self._last)
        if self._length == 0 or n < self._length:
            return ""
        held = self._holds / n
        if held > COLLAPSE["hold_share"]:
            return f"{held:.1%} of the last {n} decisions hold"
        # one bin holds at least e^-H of the actions, so most windows need no logarithms
        fullest = max(self._bins) / n
        effective = COLLAPSE["n_effective"]
        if fullest > 1.0 / effective:
            effective = math.exp(-sum(c / n * math.log(c / n) for c in self._bins if c))
        if effective < COLLAPSE["n_effective"]:
            return f"{effective:.2f} effective actions in the last {n} decisions"
        spread = math.sqrt(max(self._squares / n - (self._sum / n) ** 2, 0.0))
        if spread < COLLAPSE["std"]:
            return f"standard deviation {spread:.3f} of the last {n} actions"
        return ""

    def _count(self, action: float, held: bool, sign: int) -> None:
        self._bins[min(int((action + 1.0) * (_BINS / 2.0)), _BINS - 1)] += sign
        self._holds += sign * held
        self._sum += sign * action
        self._squares += sign * action * action


class Confidence:
    """How far an action is from asking for nothing, in units of its spread under input noise.

    The model answers 16 copies of the observation whose market columns are moved by normal noise of
    0.05 training deviations; the spread is the standard deviation of its answers. The noise is the
    same at every decision, so a replay finds the same numbers.

    Args:
        scale: [F + P] standard deviations of the columns in training.
        market: number of market columns F; the portfolio is known and stays.
    """

    def __init__(self, scale: Observations, market: int) -> None:
        noise = np.zeros((_COPIES, len(scale)))
        noise[:, :market] = _NOISE * _normal(_COPIES, market) * np.asarray(scale)[:market]
        self._noise = noise.astype(np.float32)

    def spread(
        self, model: Callable[[Observations], Observations], observation: Observations
    ) -> float:
        """Standard deviation of the actions around ``observation`` [F + P].

        Raises:
            DataError: the model answers no finite action there.
        """
        return float(np.std(model(observation[None, :] + self._noise)[:, 0].astype(np.float64)))

    @staticmethod
    def of(distance: float, spread: float) -> float:
        """``distance`` in units of ``spread``, at most 10⁶."""
        return min(distance / spread, _SURE) if spread > 0.0 else _SURE


def _normal(rows: int, columns: int) -> Observations:
    """[rows, columns] standard normals from counters (Box and Muller, 1958)."""
    with np.errstate(over="ignore"):
        counters = np.arange(1, 2 * rows * columns + 1, dtype=np.uint64) * GOLDEN
    uniform = ((mix(counters) >> np.uint64(11)) + 1.0) * 2.0**-53
    first, second = uniform.reshape(2, rows, columns)
    drawn: Observations = np.sqrt(-2.0 * np.log(first)) * np.cos(2.0 * np.pi * second)
    return drawn
