"""Types that every room shares: array aliases, the observation layout, the policy protocol."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from offline_trader.errors import DataError

__all__ = [
    "PORTFOLIO_FIELDS",
    "BoolArray",
    "FloatArray",
    "IntArray",
    "LAG",
    "LanePolicy",
    "Observations",
    "ObservationLayout",
    "Policy",
    "PortfolioField",
    "Scaler",
    "digest",
]

FloatArray: TypeAlias = NDArray[np.float64]
IntArray: TypeAlias = NDArray[np.int64]
BoolArray: TypeAlias = NDArray[np.bool_]
Observations: TypeAlias = NDArray[np.float32]


class PortfolioField(IntEnum):
    """The portfolio's part of an observation; the value is the column behind the features.

    The compiled cores have the same numbers as constants of their own; a test compares them.
    """

    EXPOSURE = 0
    """Signed position value / equity at the close of t."""
    UNREALISED_RETURN = 1
    """log(close_t / average entry price) · sign(position); 0 when flat."""
    HOLD_TIME = 2
    """log(1 + bars since the position was opened) / log(253); 0 when flat."""
    DRAWDOWN = 3
    """equity_t / running maximum of equity − 1, so in [−1, 0]."""
    SMOOTHED_ACTION = 4
    """Exponential average of the actions, state of the smoother; 0 when smoothing is off."""


LAG = "@"
"""Between a feature's name and how many bars ago it was: ``return_1@3``. Of this bar: the name."""

PORTFOLIO_FIELDS: tuple[str, ...] = tuple(each.name.lower() for each in PortfolioField)


def digest(payload: object) -> str:
    """SHA-256 (hex) of the canonical JSON of ``payload``: sorted keys, no spaces."""
    text = json.dumps(payload, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class ObservationLayout:
    """Names and order of an observation: market features first, then the portfolio.

    Attributes:
        features: F names of causal market features, in column order.
        feature_hash: hash of the feature schema (names, parameters, version).
        portfolio: P names of portfolio fields, in column order.
    """

    features: tuple[str, ...]
    feature_hash: str
    portfolio: tuple[str, ...] = PORTFOLIO_FIELDS

    def __post_init__(self) -> None:
        names = self.names
        if not names or len(set(names)) < len(names):
            raise DataError(
                f"the observation layout has {len(names)} columns of {len(set(names))} names",
                expected="one or more columns, each with its own name",
            )

    @property
    def size(self) -> int:
        """F + P, the length of one observation."""
        return len(self.features) + len(self.portfolio)

    @property
    def names(self) -> tuple[str, ...]:
        """All names in column order."""
        return self.features + self.portfolio

    def column(self, field: PortfolioField) -> int:
        """Column of a portfolio field.

        Raises:
            ValueError: the layout has no such field.
        """
        return len(self.features) + self.portfolio.index(field.name.lower())

    @property
    def windows(self) -> dict[str, tuple[int, ...]]:
        """Columns of every feature that is observed at its last bars, too, the oldest first.

        A feature ``x`` is if there are columns ``x``, ``x@1``, ``x@2`` and so on without a gap.
        """
        places = {name: place for place, name in enumerate(self.features)}
        found = {}
        for name in self.features:
            columns = [places[name]]
            while (lagged := f"{name}{LAG}{len(columns)}") in places:
                columns.append(places[lagged])
            if len(columns) > 1:
                found[name] = tuple(reversed(columns))
        return found

    @property
    def hash(self) -> str:
        """Hash that dataset, checkpoint and ONNX file store; a mismatch is an error."""
        return digest(self.to_dict())

    def to_dict(self) -> dict[str, object]:
        """JSON form, which the hash is of."""
        return {
            "features": list(self.features),
            "feature_hash": self.feature_hash,
            "portfolio": list(self.portfolio),
        }


class Scaler(Protocol):
    """An affine map of observations, column by column: ``(x − mean) / scale``."""

    @property
    def mean(self) -> FloatArray:
        """[O] float64."""
        ...

    @property
    def scale(self) -> FloatArray:
        """[O] float64, positive."""
        ...


class Policy(Protocol):
    """A deterministic policy: the shape that evaluation, export and serving share."""

    def __call__(self, observations: Observations, /) -> NDArray[np.float32]:
        """Actions [N, 1] in [-1, 1] for raw (unscaled) observations [N, F + P]."""
        ...


@runtime_checkable
class LanePolicy(Policy, Protocol):
    """A policy with a state for every lane, which moves on at every call.

    It is called once a step with the observations of the same N lanes in the same order.
    """

    def restart(self, lanes: BoolArray, /) -> None:
        """An episode begins in those of the N lanes; all of them before the first step."""
        ...
