"""Types that every room shares: array aliases, the observation layout, the policy protocol."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "PORTFOLIO_FIELDS",
    "BoolArray",
    "FloatArray",
    "IntArray",
    "Observations",
    "ObservationLayout",
    "Policy",
    "digest",
]

FloatArray: TypeAlias = NDArray[np.float64]
IntArray: TypeAlias = NDArray[np.int64]
BoolArray: TypeAlias = NDArray[np.bool_]
Observations: TypeAlias = NDArray[np.float32]

PORTFOLIO_FIELDS: tuple[str, ...] = (
    # signed position value / equity at the close of t
    "exposure",
    # log(close_t / average entry price) * sign(position); 0 when flat
    "unrealised_return",
    # log(1 + bars since the position was opened) / log(253); 0 when flat
    "hold_time",
    # equity_t / running maximum of equity - 1, so in [-1, 0]
    "drawdown",
    # exponential average of the actions, state of the action smoother; 0 when smoothing is off
    "smoothed_action",
)


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

    @property
    def size(self) -> int:
        """F + P, the length of one observation."""
        return len(self.features) + len(self.portfolio)

    @property
    def names(self) -> tuple[str, ...]:
        """All names in column order."""
        return self.features + self.portfolio

    @property
    def hash(self) -> str:
        """Hash that dataset, checkpoint and ONNX file store; a mismatch is an error."""
        return digest(self.to_dict())

    def to_dict(self) -> dict[str, object]:
        """JSON form; :meth:`from_dict` is its inverse."""
        return {
            "features": list(self.features),
            "feature_hash": self.feature_hash,
            "portfolio": list(self.portfolio),
        }

    @classmethod
    def from_dict(cls, payload: dict[str, object]) -> ObservationLayout:
        """Layout from :meth:`to_dict`'s form."""
        features, portfolio = payload["features"], payload["portfolio"]
        assert isinstance(features, list)
        assert isinstance(portfolio, list)
        return cls(
            tuple(map(str, features)), str(payload["feature_hash"]), tuple(map(str, portfolio))
        )


class Policy(Protocol):
    """A deterministic policy: the shape that evaluation, export and serving share."""

    def __call__(self, observations: Observations, /) -> NDArray[np.float32]:
        """Actions [N, 1] in [-1, 1] for raw (unscaled) observations [N, F + P]."""
        ...
