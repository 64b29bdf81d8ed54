"""What the auxiliary stage trains on: observations with the labels of their bars and experts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from offline_trader.errors import DataError
from offline_trader.learning.stages.auxiliary.labels import BarLabels
from offline_trader.types import BoolArray, IntArray, Observations

__all__ = ["AuxiliaryData", "LabelledRows"]


@dataclass(frozen=True, eq=False)
class LabelledRows:
    """M observations of bars.

    Attributes:
        observations: [M, O] float32, raw.
        bars: [M] int64, row of each in ``labels``: many observations may be of one bar.
        actions: [M] float32, noise-free action of the expert; NaN where none could be asked.
        labels: of the bars.
    """

    observations: Observations
    bars: IntArray
    actions: NDArray[np.float32]
    labels: BarLabels

    def __post_init__(self) -> None:
        count = len(self.observations)
        if not count or self.bars.shape != (count,) or self.actions.shape != (count,):
            raise DataError(
                f"{count} observations, bars of shape {self.bars.shape}, actions of shape "
                f"{self.actions.shape}",
                expected="one bar and one action of each of one or more observations",
            )
        if self.bars.min() < 0 or self.bars.max() >= len(self.labels.next_return):
            raise DataError("an observation of a bar without labels")

    def take(self, chosen: BoolArray) -> LabelledRows:
        """The observations that are chosen, [M] bool."""
        return LabelledRows(
            self.observations[chosen], self.bars[chosen], self.actions[chosen], self.labels
        )


@dataclass(frozen=True, eq=False)
class AuxiliaryData:
    """Two sets of observations; the second lies after the first in time.

    Attributes:
        training: what the encoder is fitted to; no label reads a bar of the other set.
        validation: what stops the training, and what the heads are measured on.
        validated: whether the second is a validation range; otherwise it is the end of the
            training range.
    """

    training: LabelledRows
    validation: LabelledRows
    validated: bool = True
