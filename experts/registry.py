"""The experts by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, fields
from difflib import get_close_matches

from offline_trader.errors import ConfigError
from offline_trader.experts import (
    buy_and_hold,
    donchian,
    ma_cross,
    momentum,
    oracle,
    random_actions,
    reversion,
    technical,
    volatility_target,
)
from offline_trader.experts.interface import Expert

__all__ = ["expert_parameters", "get_expert", "list_experts"]

_MAKERS: dict[str, Callable[..., Expert]] = {
    "technical": technical.make,
    "ma_cross": ma_cross.make,
    "donchian": donchian.make,
    "momentum": momentum.make,
    "reversion": reversion.make,
    "buy_and_hold": buy_and_hold.make,
    "volatility_target": volatility_target.make,
    "random": random_actions.make,
    "oracle": oracle.make,
}


def list_experts() -> list[Expert]:
    """Every expert with its default parameters, in the registry's order."""
    return [make() for make in _MAKERS.values()]


def get_expert(name: str, **params: object) -> Expert:
    """The expert ``name`` with ``params`` over its defaults.

    Raises:
        ConfigError: an unknown expert or parameter (the message names the nearest known one),
            or a value out of range.
    """
    make = _MAKERS.get(name)
    if make is None:
        near = get_close_matches(name, _MAKERS, n=1)
        raise ConfigError(
            f"unknown expert {name!r}",
            expected=repr(near[0]) if near else f"one of {', '.join(_MAKERS)}",
            hint="offline-trader experts lists them",
        )
    known = expert_parameters(make())
    for key, value in params.items():
        if key not in known:
            near = get_close_matches(key, known, n=1)
            raise ConfigError(
                f"expert {name!r} has no parameter {key!r}",
                expected=repr(near[0]) if near else f"one of {', '.join(known) or 'none'}",
            )
        default = known[key]
        if not isinstance(value, type(default)) and not (
            isinstance(default, float) and type(value) is int
        ):
            raise ConfigError(
                f"expert {name!r}: {key} = {value!r}", expected=f"a {type(default).__name__}"
            )
    return make(**params)


def expert_parameters(expert: Expert) -> dict[str, object]:
    """The default of every parameter of ``expert``, by name."""
    return {
        field.name: field.default for field in fields(expert.params) if field.default is not MISSING
    }
