"""Limits over all desks together: what one may still hold, given what the others hold.

Equity and positions are those of all desks of a store, whichever process has them. A desk's
position counts as the largest that its last order can lead to, so what is out at a broker is
counted already.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from offline_trader.errors import ConfigError
from offline_trader.serving.risk_limits import require_values

__all__ = [
    "Book",
    "BookLimits",
    "Caps",
    "LocalBook",
    "Standing",
    "caps_for",
    "correlated",
]

_FEWEST_RETURNS = 20
Closes = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class BookLimits:
    """What all desks together may not pass; None: anything.

    Attributes:
        max_gross: largest sum of |position values| / sum of equities.
        max_concentration: largest |position value| of one instrument / sum of equities.
        max_group: largest sum of |position values| of correlated instruments / sum of equities.
        correlation: two instruments belong together from this |correlation| of their returns on.
        correlation_bars: last common returns that count; with fewer than 20 they belong together.
        max_orders_per_day: orders let through a day.
    """

    max_gross: float | None = None
    max_concentration: float | None = None
    max_group: float | None = None
    correlation: float = 0.7
    correlation_bars: int = 60
    max_orders_per_day: float | None = None

    def __post_init__(self) -> None:
        require_values(self, "book")
        if not _FEWEST_RETURNS <= self.correlation_bars <= 10_000:
            raise ConfigError(
                f"book.correlation_bars is {self.correlation_bars}",
                expected=f"{_FEWEST_RETURNS} to 10,000",
            )

    @property
    def any(self) -> bool:
        """Whether there is a limit at all."""
        limits = (self.max_gross, self.max_concentration, self.max_group, self.max_orders_per_day)
        return any(each is not None for each in limits)


class Standing(NamedTuple):
    """Where a desk stands.

    Attributes:
        value: |position value|, the largest that its last order can lead to.
        equity: of its account.
        day: that its orders were counted in.
        orders: let through that day.
        closes: bar's time (seconds since 1970) and close of the last bars, oldest first.
    """

    value: float = 0.0
    equity: float = 0.0
    day: str = ""
    orders: int = 0
    closes: Closes = ()


class Caps(NamedTuple):
    """What the book leaves to one desk.

    Attributes:
        values: largest |position value| after an order by each limit, and its name.
        barred: why nothing may be ordered; empty: it may.
        used: of each limit its key, the limit, and what of it was used before: |position values|
            of the other desks that count, or orders of all.
        total: sum of equities, which limits of position values are shares of.
    """

    values: tuple[tuple[float, str], ...] = ()
    barred: str = ""
    used: tuple[tuple[str, float, float], ...] = ()
    total: float = 0.0


class Book(Protocol):
    """Knows where every desk stands."""

    limits: BookLimits

    def caps(self, desk: str, equity: float, day: str, closes: Closes) -> Caps:
        """What ``desk`` may still do; nobody else's order comes between this and :meth:`record`.

        Raises:
            DataError: the book cannot be read.
        """

    def record(self, desk: str, standing: Standing) -> None:
        """Where ``desk`` stands now; known to others when its rows are on disk.

        Raises:
            DataError: the book cannot be written.
        """


class LocalBook:
    """The book of one process."""

    def __init__(self, limits: BookLimits) -> None:
        self.limits = limits
        self._standings: dict[str, Standing] = {}

    def caps(self, desk: str, equity: float, day: str, closes: Closes) -> Caps:
        """What ``desk`` may still do."""
        others = {name: each for name, each in self._standings.items() if name != desk}
        own = self._standings.get(desk, Standing())._replace(equity=equity, closes=closes)
        return caps_for(self.limits, own, others.values(), day)

    def record(self, desk: str, standing: Standing) -> None:
        """Where ``desk`` stands now."""
        self._standings[desk] = standing


def caps_for(limits: BookLimits, own: Standing, others: Iterable[Standing], day: str) -> Caps:
    """What is left to a desk.

    Args:
        own: with the equity and the closes of now.
        others: of the other desks.
        day: that counts this moment.
    """
    rest = list(others)
    total = _number(max(own.equity, 0.0) + sum(max(each.equity, 0.0) for each in rest))
    values: list[tuple[float, str]] = []
    used: list[tuple[str, float, float]] = []

    def cap(key: str, limit: float, others: Iterable[Standing], name: str) -> None:
        held = _number(sum((each.value for each in others), start=0.0))
        values.append((max(_number(limit * total) - held, 0.0), name))
        used.append((key, limit, held))

    if limits.max_gross is not None:
        cap("max_gross", limits.max_gross, rest, "the largest exposure of all desks")
    if limits.max_concentration is not None:
        name = "the largest share of one instrument"
        cap("max_concentration", limits.max_concentration, (), name)
    if limits.max_group is not None:
        name = "the largest share of correlated instruments"
        cap("max_group", limits.max_group, _group(limits, own, rest), name)
    barred = ""
    if limits.max_orders_per_day is not None:
        orders = sum(each.orders for each in [own, *rest] if each.day == day)
        used.append(("max_orders_per_day", limits.max_orders_per_day, float(orders)))
        if orders >= limits.max_orders_per_day:
            barred = f"{orders} orders of all desks today"
    return Caps(tuple(values), barred, tuple(used), total)


def _number(x: float) -> float:
    """Sums beyond numbers are the largest one: a log knows no other, and has to be read again."""
    return min(x, sys.float_info.max)


def correlated(one: Closes, other: Closes, limits: BookLimits) -> bool:
    """Whether the log returns between common bars belong together; too few: they do."""
    known = dict(other)
    pairs = [(close, known[time]) for time, close in one if time in known]
    pairs = pairs[-limits.correlation_bars - 1 :]
    if len(pairs) <= _FEWEST_RETURNS:
        return True
    first, second = np.diff(np.log(np.asarray(pairs, dtype=np.float64)), axis=0).T
    first, second = first - first.mean(), second - second.mean()
    scale = math.sqrt(float(first @ first) * float(second @ second))
    return scale > 0.0 and abs(float(first @ second)) > limits.correlation * scale


def _group(limits: BookLimits, own: Standing, others: list[Standing]) -> list[Standing]:
    """The others that belong to ``own``, or to one that does."""
    group, rest, frontier = [], list(others), [own]
    while frontier:
        here = frontier.pop()
        joined = [each for each in rest if correlated(here.closes, each.closes, limits)]
        rest = [each for each in rest if not any(each is one for one in joined)]
        group += joined
        frontier += joined
    return group
