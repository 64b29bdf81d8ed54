"""What the names of a result's or a log's columns say: the thing, and the unit it is given in."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from offline_trader.tables.names import plain

__all__ = ["Heading", "Headings", "Unit", "read_heading"]

Unit: TypeAlias = Literal["", "percent", "pct", "bps", "points", "money"]

_CURRENCY = (
    "usd|eur|gbp|jpy|chf|aud|cad|nzd|sek|nok|dkk|pln|czk|huf|inr|cny|hkd|sgd|krw|brl|mxn|zar|try"
    "|usdt|usdc|busd|fdusd|dai|btc|eth|bnb"
)
_UTC = re.compile(r"[(\[\s_]+(?:utc|gmt)\s*(?:[+-]0{1,2}(?::?00)?|[+-]?0)?\s*[)\]]?\s*$", re.I)
_UNITS: tuple[tuple[Unit, re.Pattern[str]], ...] = (
    ("percent", re.compile(r"[%％]|(?<![a-z])per\s?cent(?:age)?(?![a-z])|percent$", re.I)),
    ("pct", re.compile(r"(?<![A-Za-z])[Pp]ct(?!.?[Cc]hange)(?![a-z])|(?:pct|Pct|PCT)$")),
    ("bps", re.compile(r"(?<![a-z])(?:bps|bp|basis\s?points)(?![a-z])", re.I)),
    (
        "points",
        re.compile(
            r"(?<![a-z])(?:pips?|points?|pts|ticks?|r.?multiples?)(?![a-z])|[(\[]r[)\]]", re.I
        ),
    ),
    (
        "money",
        re.compile(rf"[$€£¥]|(?<=[a-z)\]])[\s_(\[,/-]+(?:in\s+)?(?:{_CURRENCY})[)\]]?\s*$", re.I),
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Heading:
    """A column's name.

    Attributes:
        name: as the file has it.
        key: what it is compared by: plain, without the unit.
        unit: ``percent`` where a per cent sign or the word says so; ``pct`` where only the
            abbreviation does, which programs use for shares, too; ``points`` for pips, ticks and
            multiples of a risk; ``money`` where a currency is named; else empty.
    """

    name: str
    key: str
    unit: Unit


def read_heading(name: object) -> Heading:
    """The thing and the unit that a column's name tells.

    ``Net P&L USD`` is ``netpl`` in money, ``Daily Return (%)`` is ``dailyreturn`` in per cent.
    """
    if isinstance(name, tuple):
        name = next((part for part in name if str(part)), "")
    text = _UTC.sub("", str(name))
    for unit, pattern in _UNITS:
        if pattern.search(text):
            key = plain(re.sub(r"[(\[]\s*(?:in)?\s*[)\]]|\bin\s*$", "", pattern.sub(" ", text)))
            return Heading(str(name), key or plain(name), unit)
    return Heading(str(name), plain(text), "")


class Headings:
    """The columns of a table by what their names say; it remembers which of them were used.

    Args:
        names: of the columns, in order; a name may come twice.
    """

    def __init__(self, names: Iterable[object]) -> None:
        self.all = tuple(read_heading(name) for name in names)
        self.used: set[int] = set()

    def places(self, keys: Collection[str], units: Collection[Unit] | None = None) -> list[int]:
        """Positions of the columns of these keys, and of one of ``units``; earlier keys first."""
        return [
            i
            for key in keys
            for i, heading in enumerate(self.all)
            if heading.key == key and (units is None or heading.unit in units)
        ]

    def find(
        self,
        keys: Collection[str],
        units: Collection[Unit] | None = None,
        fits: Callable[[int], bool] | None = None,
    ) -> int | None:
        """Position of the first such column that ``fits``; it counts as used."""
        for i in self.places(keys, units):
            if fits is None or fits(i):
                self.used.add(i)
                return i
        return None

    def unused(self, pattern: re.Pattern[str], units: Collection[Unit]) -> list[str]:
        """Names that match ``pattern`` by their key, in one of ``units``, and were not used."""
        return [
            heading.name
            for i, heading in enumerate(self.all)
            if i not in self.used and heading.unit in units and pattern.search(heading.key)
        ]
