"""The trading rules that a model states: what its actions mean, and what its trades cost."""

from __future__ import annotations

from collections.abc import Mapping

from offline_trader.codec import from_json
from offline_trader.errors import ConfigError
from offline_trader.simulator import SimulatorConfig

__all__ = ["stated_rules"]


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
