"""What a model states of itself: the rules that its actions and trades obey, its features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from offline_trader.codec import Facts, from_json
from offline_trader.errors import ConfigError, SchemaMismatch
from offline_trader.features import (
    FEATURE_SETS,
    Admission,
    FeatureSet,
    feature_set,
    state_window,
)
from offline_trader.goals import Pursuit, pursued
from offline_trader.simulator import SimulatorConfig
from offline_trader.types import PORTFOLIO_FIELDS, ObservationLayout, Observations

if TYPE_CHECKING:
    from offline_trader.export import OnnxPolicy

__all__ = [
    "Decider",
    "features_of",
    "opened",
    "pursuit_of",
    "stated_features",
    "stated_rules",
]


class Decider(Protocol):
    """A model that knows its columns, as :class:`~offline_trader.export.OnnxPolicy` does."""

    layout: ObservationLayout

    def __call__(self, observations: Observations, /) -> NDArray[np.float32]:
        """Actions [N, 1] for observations [N, F + P]."""


def stated_features(model: object) -> tuple[str, ...] | None:
    """The feature sets in an opened model's metadata; None where it states none.

    The bars that its own features need are taken from it, too.

    Raises:
        DataError: it states features that are none.
    """
    metadata = getattr(model, "metadata", {})
    tree = metadata if isinstance(metadata, Mapping) else {}
    if "features" not in tree:
        return None
    facts = from_json(_Features, tree, str(getattr(model, "path", "the model")))
    for each in facts.own_features:
        state_window(each.name, each.sha256, each.window)
    return facts.features


@dataclass(frozen=True)
class _Features(Facts):
    features: tuple[str, ...]
    own_features: tuple[Admission, ...] = ()


def stated_rules(model: object) -> SimulatorConfig:
    """The rules in an opened model's metadata.

    Raises:
        ConfigError: it states none, so nobody knows whether an action is an order or a weight.
        DataError: it states rules that are none.
    """
    metadata = getattr(model, "metadata", {})
    tree = metadata.get("simulator") if isinstance(metadata, Mapping) else None
    name = getattr(model, "path", "the model")
    if tree is None:
        raise ConfigError(
            f"{name} states no trading rules, so its actions may be orders or target weights",
            expected="a model written by `offline-trader export`, or rules given beside it",
            hint="give the rules that it was trained with: Session(model, SimulatorConfig(…))",
        )
    return from_json(SimulatorConfig, tree, f"{name}: simulator")


def opened(model: OnnxPolicy | Decider | Path | str) -> Decider:
    """The model, read where a path is given."""
    if not isinstance(model, Path | str):
        return model
    from offline_trader.export import open_model

    return open_model(model)


def pursuit_of(model: Decider, goal: float | None) -> Pursuit | None:
    """What keeps track of the model's goal; None for one that takes none."""
    found = pursued(model)
    if isinstance(found, Pursuit):
        task = found.policy.task
        return Pursuit(found.policy, found.policy.goal if goal is None else task.require(goal))
    if goal is not None:
        raise ConfigError(f"a goal of {goal:g} for a model that takes none", expected="no goal")
    return None


def features_of(model: Decider, features: FeatureSet | str | Sequence[str] | None) -> FeatureSet:
    """The set that gives the model's columns.

    Raises:
        ConfigError: an unknown name.
        SchemaMismatch: another set, or none that is known, or a portfolio of other columns.
    """
    layout = model.layout
    if layout.portfolio != PORTFOLIO_FIELDS:
        raise SchemaMismatch(
            f"the model reads the portfolio as {', '.join(layout.portfolio)}",
            expected=", ".join(PORTFOLIO_FIELDS),
        )
    if features is None:
        features = stated_features(model)
    if features is None:
        known = {FEATURE_SETS[name].schema.hash: FEATURE_SETS[name] for name in FEATURE_SETS}
        if layout.feature_hash in known:
            return known[layout.feature_hash]
        raise SchemaMismatch(
            f"the model reads features {layout.feature_hash[:12]} "
            f"({', '.join(layout.features[:3])}, …), which no feature set gives",
            expected=f"those of {', '.join(FEATURE_SETS)}",
            hint="give the session the features that the model was trained on",
        )
    found = feature_set(features) if isinstance(features, str | Sequence) else features
    if found.schema.hash != layout.feature_hash:
        raise SchemaMismatch(
            f"the model reads features {layout.feature_hash[:12]}, "
            f"the set given has {found.schema.hash[:12]}",
            expected="the features that the model was trained on",
        )
    return found
