"""The experts by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, fields
from functools import partial

from offline_trader.config import names_code
from offline_trader.errors import ConfigError, nearest
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
from offline_trader.experts.interface import Expert, ExpertParams

__all__ = ["expert_parameters", "get_expert", "list_experts", "parameters_of"]

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

    Args:
        name: one of the registry, a rule of one's own (``file.py:function``, ``module:function``),
            or a log to repeat (``log:FILE``).
        params: as far as the expert has such parameters.

    Raises:
        ConfigError: an unknown expert or parameter (the message names the nearest known one),
            or a value out of range.
        DataError: a log that cannot be read.
    """
    make = _MAKERS.get(name) or _from_file(name)
    if make is None:
        near = nearest(name, _MAKERS)
        raise ConfigError(
            f"unknown expert {name!r}",
            expected=repr(near) if near else f"one of {', '.join(_MAKERS)}",
            hint="offline-trader experts lists them; a rule of your own is file.py:function",
        )
    known = parameters_of(name)
    for key, value in params.items():
        if key not in known:
            near = nearest(key, known)
            raise ConfigError(
                f"expert {name!r} has no parameter {key!r}",
                expected=repr(near) if near else f"one of {', '.join(known) or 'none'}",
            )
        default = known[key]
        if not isinstance(value, type(default)) and not (
            isinstance(default, float) and type(value) is int
        ):
            raise ConfigError(
                f"expert {name!r}: {key} = {value!r}", expected=f"a {type(default).__name__}"
            )
    return make(**params)


def _from_file(name: str) -> Callable[..., Expert] | None:
    """Maker of an expert that lies in a file; None for a plain name."""
    if name.startswith("log:"):
        from offline_trader.experts.history import history_expert

        return partial(history_expert, name.removeprefix("log:"))
    if names_code(name):
        from offline_trader.experts.own import own_expert

        return partial(own_expert, name)
    return None


def parameters_of(name: str) -> dict[str, object]:
    """The default of every parameter of the expert ``name``, by name; a log is not read for it.

    Raises:
        ConfigError: an unknown expert.
    """
    if name.startswith("log:"):
        from offline_trader.experts.history import HistoryParams

        return _defaults(HistoryParams)
    make = _MAKERS.get(name) or _from_file(name)
    return expert_parameters(get_expert(name) if make is None else make())


def expert_parameters(expert: Expert) -> dict[str, object]:
    """The default of every parameter of ``expert``, by name."""
    return _defaults(type(expert.params))


def _defaults(kind: type[ExpertParams]) -> dict[str, object]:
    return {field.name: field.default for field in fields(kind) if field.default is not MISSING}
