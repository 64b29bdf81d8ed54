"""Feature sets: what a market's columns are, and the registry of them."""

from __future__ import annotations

from typing import Protocol

from offline_trader.features.schema import FeatureSchema
from offline_trader.markets import Bar, Bars
from offline_trader.registry import Registry
from offline_trader.types import FloatArray, ObservationLayout

__all__ = ["FEATURE_SETS", "FeatureSet", "FeatureStream", "observation_layout"]


class FeatureStream(Protocol):
    """Features bar by bar, equal to the batch."""

    def update(self, bar: Bar, /) -> FloatArray:
        """[F] float64 after ``bar``; NaN as long as there are none."""
        ...


class FeatureSet(Protocol):
    """F causal features of one instrument's bars."""

    @property
    def schema(self) -> FeatureSchema:
        """Names and formulas, whose hash travels with every artefact."""
        ...

    @property
    def warmup(self) -> int:
        """Rows without features at the start."""
        ...

    def compute(self, bars: Bars, /) -> FloatArray:
        """[T, F] float64; row t reads bars up to t. The first ``warmup`` rows may be anything."""
        ...

    def stream(self) -> FeatureStream:
        """A fresh stream that has seen no bar."""
        ...


FEATURE_SETS: Registry[FeatureSet] = Registry(
    "feature set", {"builtin": "offline_trader.features.builtin:BUILTIN"}
)
"""Feature sets by name."""


def observation_layout(features: str = "builtin") -> ObservationLayout:
    """The layout of observations of a feature set.

    Raises:
        ConfigError: an unknown feature set.
    """
    return FEATURE_SETS[features].schema.layout
