"""What this toolkit stores with a dataset, by the types in which it is written and read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from offline_trader.codec import Facts, from_json
from offline_trader.envs import EnvConfig
from offline_trader.errors import DataError
from offline_trader.features import Admission, FeatureScaler
from offline_trader.types import ObservationLayout

__all__ = ["METADATA_KEY", "DatasetFacts", "check_kinds", "read_facts"]

METADATA_KEY = "offline_trader"


@dataclass(frozen=True, kw_only=True)
class _Shared(Facts):
    layout_hash: str
    feature_hash: str = ""
    market: tuple[str, ...] = ()
    market_sha256: Mapping[str, str]
    train_range: Mapping[str, Any] = field(default_factory=dict)
    experts: tuple[Mapping[str, Any], ...]
    seeds: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, Any] = field(default_factory=dict)
    ref_min_score: float | None = None
    ref_max_score: float | None = None
    expert_scores: Mapping[str, Any] = field(default_factory=dict)
    privileged: bool = False
    identity: Mapping[str, Any] = field(default_factory=dict)
    own_features: tuple[Admission, ...] = ()


@dataclass(frozen=True, kw_only=True)
class _Stored(_Shared):
    """The facts as they lie there, whatever layout and settings another version has."""

    layout: Mapping[str, Any]
    scaler: Mapping[str, Any]
    env_config: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class DatasetFacts(_Shared):
    """What this toolkit states of a dataset of its own.

    Attributes:
        layout, layout_hash: of the observations.
        feature_hash: of the feature schema.
        scaler: fitted on the bars that were collected on.
        env_config: the environment, files by their full path.
        market: sources of bars as they were named.
        market_sha256: of all bars, by symbol.
        train_range: first and last bar of every instrument, and how many.
        experts: the behaviours.
        seeds: of the collection.
        versions: of Python and the libraries.
        ref_min_score, ref_max_score: returns that stand for 0 and 1.
        expert_scores: mean return of every expert on the same episodes, by name.
        privileged: whether a behaviour reads the future.
        identity: what decides the arrays: equal ones, equal arrays.
        own_features: what was found of features of the user's own.
    """

    layout: ObservationLayout
    scaler: FeatureScaler
    env_config: EnvConfig

    def __post_init__(self) -> None:
        if self.layout.hash != self.layout_hash or len(self.scaler.mean) != self.layout.size:
            raise DataError(
                "layout, its hash and the scaler do not fit together",
                expected=f"the hash {self.layout.hash} and {self.layout.size} columns",
            )


def check_kinds(facts: object, file: Path) -> None:
    """Nothing if the facts have the types that this toolkit writes; ``file`` is where they lie.

    Raises:
        DataError: one that is needed is missing or one has another type.
    """
    from_json(_Stored, facts, f"{file}: {METADATA_KEY}")


def read_facts(facts: object, file: Path) -> DatasetFacts:
    """The facts, whose layout, scaler and environment fit together.

    Raises:
        DataError: they do not, or as :func:`check_kinds`.
    """
    return from_json(DatasetFacts, facts, f"{file}: {METADATA_KEY}")
