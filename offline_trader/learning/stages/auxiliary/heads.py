"""Five heads on one encoder, and their loss.

With e = encoder(s) and linear maps ``z = W e + b``::

    next return   z₁, standardised            square error in training standard deviations
    volatility    m · softplus(z₂)            square error in training standard deviations
    volume        softmax(z₃ [3])             cross-entropy
    action        tanh(z₄)                    square error of the expert's action in [−1, 1]
    regime        softmax(z₅ [4])             cross-entropy

    L = Σ_k w_k · mean over the rows that have target k

Returns are standardised by mean and deviation of the training range. Volatility is positive, so its
output is scaled by the training mean m, and only its error is divided by the deviation. A row
without a target adds nothing to its head's loss and nothing to the count that it is divided by.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from offline_trader.learning.settings import HeadWeights
from offline_trader.learning.stages.auxiliary.labels import MASKED, REGIMES, VOLUME_CLASSES
from offline_trader.learning.stages.auxiliary.rows import LabelledRows
from offline_trader.types import FloatArray

__all__ = ["HEADS", "Heads", "Said", "Scales", "Targets"]

HEADS: tuple[str, ...] = ("next_return", "volatility", "volume", "action", "regime")
_SIZES = (1, 1, len(VOLUME_CLASSES), 1, len(REGIMES))


@dataclass(frozen=True)
class Scales:
    """Mean and standard deviation of the training range's targets.

    Attributes:
        next_return, volatility: (mean, deviation); deviation 1 where nothing varies.
    """

    next_return: tuple[float, float]
    volatility: tuple[float, float]

    @classmethod
    def of(cls, rows: LabelledRows) -> Scales:
        """Of the bars that ``rows`` are of, each once."""
        seen = np.unique(rows.bars)
        return cls(
            *(_scale(getattr(rows.labels, name)[seen]) for name in ("next_return", "volatility"))
        )


class Targets(NamedTuple):
    """What the heads are to say of B rows: [B] each, NaN or −1 where there is no target."""

    next_return: Tensor
    volatility: Tensor
    volume: Tensor
    action: Tensor
    regime: Tensor

    @classmethod
    def of(cls, rows: LabelledRows) -> Targets:
        """Of all rows, in the units of the labels."""
        labels, bars = rows.labels, rows.bars
        return cls(
            torch.from_numpy(labels.next_return[bars].astype(np.float32)),
            torch.from_numpy(labels.volatility[bars].astype(np.float32)),
            torch.from_numpy(labels.volume[bars]),
            torch.from_numpy(rows.actions.astype(np.float32)),
            torch.from_numpy(labels.regime[bars]),
        )

    def take(self, index: Tensor) -> Targets:
        """Of the rows ``index``."""
        return Targets(*(each[index] for each in self))


class Said(NamedTuple):
    """What the heads say of B rows: returns, volatility and actions [B], logits [B, classes]."""

    next_return: Tensor
    volatility: Tensor
    volume: Tensor
    action: Tensor
    regime: Tensor


class Heads(nn.Module):
    """The five heads on an encoder.

    Args:
        encoder: maps scaled observations [B, O] to [B, units].
        units: of its output.
        scales: of the targets.
    """

    def __init__(self, encoder: nn.Module, units: int, scales: Scales) -> None:
        super().__init__()
        self.encoder = encoder
        self.scales = scales
        self._outputs = nn.Linear(units, sum(_SIZES))

    def forward(self, scaled: Tensor) -> Said:
        """What is said of scaled observations [B, O]."""
        parts = self._outputs(self.encoder(scaled)).split(_SIZES, dim=1)
        mean, deviation = self.scales.next_return
        return Said(
            mean + deviation * parts[0][:, 0],
            self.scales.volatility[0] * F.softplus(parts[1][:, 0]),
            parts[2],
            torch.tanh(parts[3][:, 0]),
            parts[4],
        )

    def losses(self, said: Said, targets: Targets) -> dict[str, Tensor]:
        """Mean loss of every head over the rows that have its target; 0 where none has."""
        deviations = {
            "next_return": self.scales.next_return[1],
            "volatility": self.scales.volatility[1],
            "action": 1.0,
        }
        found = {}
        for name, ours, theirs in zip(HEADS, said, targets, strict=True):
            if name in deviations:
                known = ~torch.isnan(theirs)
                error = (ours - torch.where(known, theirs, ours)) / deviations[name]
                summed = error.square().sum()
            else:
                known = theirs != MASKED
                summed = F.cross_entropy(ours, theirs, ignore_index=MASKED, reduction="sum")
            found[name] = summed / known.sum().clamp(min=1)
        return found


def weighted(losses: dict[str, Tensor], weights: HeadWeights) -> Tensor:
    """``Σ w_k · loss_k``."""
    return torch.stack([getattr(weights, name) * losses[name] for name in HEADS]).sum()


def _scale(values: FloatArray) -> tuple[float, float]:
    known = values[np.isfinite(values)]
    if not len(known):
        return 0.0, 1.0
    deviation = float(known.std())
    return float(known.mean()), deviation if deviation > 0.0 else 1.0
