"""What a synthetic market's law is, and how a source string names one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import Field, fields
from typing import Any, ClassVar, Protocol, get_type_hints

from offline_trader.errors import ConfigError, did_you_mean
from offline_trader.markets.bars import Bars
from offline_trader.registry import Registry

__all__ = ["LAWS", "Law", "make_synthetic", "require", "synthetic_law"]


class Law(Protocol):
    """A frozen dataclass of numbers and names, ``bars`` and ``seed`` among them."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    @property
    def bars(self) -> int:
        """Number of bars T."""

    @property
    def seed(self) -> int:
        """Of the market's own random streams: the same seed gives the same bytes."""

    def make(self, symbol: str) -> Bars:
        """The bars."""


LAWS: Registry[type[Law]] = Registry(
    "synthetic market",
    {
        "ou": "offline_trader.markets.synthetic.ou:OuMarket",
        "walk": "offline_trader.markets.synthetic.ou:RandomWalk",
        "turbulent": "offline_trader.markets.synthetic.turbulent:TurbulentMarket",
    },
)
"""``synthetic:NAME``: a law's class by name; another one plugs in here."""


def require(law: object, name: str, holds: bool, expected: str) -> None:
    """Refuse a law whose attribute is out of range.

    Raises:
        ConfigError: ``holds`` is false.
    """
    if not holds:
        raise ConfigError(f"synthetic market: {name} = {getattr(law, name)}", expected=expected)


def make_synthetic(name: str, parameters: Mapping[str, str]) -> Bars:
    """Bars of the synthetic market ``name`` with ``parameters`` as text, as a source has them.

    Raises:
        ConfigError: as :func:`synthetic_law`.
    """
    return synthetic_law(name, parameters).make(name)


def synthetic_law(name: str, parameters: Mapping[str, str]) -> Law:
    """The law of the synthetic market ``name`` with ``parameters`` as text.

    Raises:
        ConfigError: an unknown market or parameter, or a value that is no number.
    """
    if name not in LAWS:
        raise ConfigError(
            f"unknown synthetic market {name!r}",
            expected=f"one of {', '.join(LAWS)}, as in synthetic:ou?bars=50000&seed=1",
            hint=did_you_mean(name, list(LAWS)),
        )
    law: Any = LAWS[name]
    known, types = sorted(field.name for field in fields(law)), get_type_hints(law)
    values: dict[str, int | float | str] = {}
    for key, text in parameters.items():
        if key not in known:
            raise ConfigError(
                f"synthetic:{name} has no parameter {key!r}",
                expected=", ".join(known),
                hint=did_you_mean(key, known),
            )
        try:
            values[key] = types[key](text)
        except ValueError:
            raise ConfigError(f"synthetic:{name}: {key} is {text!r}", expected="a number") from None
    made: Law = law(**values)
    return made
