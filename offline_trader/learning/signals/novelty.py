"""A potential that falls where training has been: Φ = 1/√(1 + n) of the portfolio's state.

n is how often the lanes met the state's cell: exposure by tenths, ``hold_time`` by tenths, and
``tanh(unrealised_return / (7 · volatility_20))`` by fifths, 7 ≈ √50. So Φ moves while the agent
learns, which leaves the optimal policy (Devlin & Kudenko 2012, theorem 1). It is read from a
snapshot of the counts: one potential shapes all rows of a batch, and Q' = Q − Φ holds for each.
To the critic every snapshot is another first guess (Wiewiora 2003): what has been met since looks
worse than what has not, until it is learned what either is worth. As n grows, Φ goes to 0.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from offline_trader.learning.data import Preprocessing
from offline_trader.learning.signals.potentials import ROOT_OF_50, SMALLEST, places_of

__all__ = ["Novelty"]

_READ = ("exposure", "hold_time", "unrealised_return", "volatility_20")
_SHAPE = (21, 11, 11)


class Novelty:
    """See above.

    Args:
        columns: names of the observation's columns.
        scales: with which observations are scaled.
        interval: steps of the lanes from one snapshot of the counts to the next.

    Raises:
        ConfigError: the observation lacks a column that the cells are made of.
    """

    in_returns = False

    def __init__(self, columns: Sequence[str], scales: Preprocessing, interval: int) -> None:
        self._places = list(places_of("novelty", _READ, columns).values())
        self._mean, self._scale = (
            torch.from_numpy(np.asarray(each, np.float32)[self._places])
            for each in (scales.mean, scales.scale)
        )
        self._interval, self._steps = interval, 0
        self._counts = torch.zeros(math.prod(_SHAPE), dtype=torch.int64)
        self._snapshot = torch.ones(len(self._counts))

    def met(self, observations: NDArray[Any]) -> None:
        """Count raw observations [N, O], of one step of the N lanes."""
        seen = torch.from_numpy(np.asarray(observations, np.float32)[:, self._places])
        self._counts += torch.bincount(_cells(seen), minlength=len(self._counts))
        self._steps += len(seen)
        if self._steps >= self._interval:
            self._steps = 0
            self._snapshot = (1.0 + self._counts).rsqrt()

    def __call__(self, scaled: Tensor) -> Tensor:
        """[B] Φ of scaled observations [B, O]."""
        seen = scaled[:, self._places].cpu() * self._scale + self._mean
        return self._snapshot[_cells(seen)].to(scaled.device)

    def state_dict(self) -> dict[str, Any]:
        """Counts and snapshot."""
        return {
            "counts": self._counts.clone(), "snapshot": self._snapshot, "steps": self._steps,
        }  # fmt: skip

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Inverse of :meth:`state_dict`."""
        self._counts, self._snapshot = state["counts"].clone(), state["snapshot"]
        self._steps = int(state["steps"])


def _cells(seen: Tensor) -> Tensor:
    """[B] numbers of the cells of raw [B, 4]."""
    exposure, held, gain, volatility = seen.T
    moved = torch.tanh(gain / (ROOT_OF_50 * volatility.clamp(min=SMALLEST)))
    cells = torch.zeros(len(seen), dtype=torch.int64)
    places = (10.0 * exposure + 10.0, 10.0 * held, 5.0 * moved + 5.0)
    for place, size in zip(places, _SHAPE, strict=True):
        cells = cells * size + place.round().clamp(0, size - 1).long()
    return cells
