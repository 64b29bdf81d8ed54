"""What a model states of itself: the rules that its actions and trades obey, its features."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from offline_trader.codec import Facts, from_json
from offline_trader.errors import ConfigError
from offline_trader.features import Admission, state_window
from offline_trader.simulator import SimulatorConfig

__all__ = ["stated_features", "stated_rules"]


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
