"""What makes bars acceptable: the checks, and messages that name the row and the reason."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from offline_trader.errors import DataError
from offline_trader.types import BoolArray, FloatArray

__all__ = [
    "BAR_COLUMNS",
    "PRICES",
    "Bar",
    "Locate",
    "SignalBar",
    "check_bar",
    "check_columns",
    "nanoseconds",
]

PRICES = ("open", "high", "low", "close")
BAR_COLUMNS = (*PRICES, "volume")
Locate = Callable[[int], str]
_NANOSECONDS = np.dtype("datetime64[ns]")
_NO_TIME = int(np.iinfo(np.int64).min)


class Bar(NamedTuple):
    """One bar.

    Attributes:
        timestamp: UTC, datetime64[ns].
        open, high, low, close: quote currency.
        volume: units traded; 0 where it is not known.
    """

    timestamp: np.datetime64
    open: float
    high: float
    low: float
    close: float
    volume: float = 0.0

    @property
    def signals(self) -> Mapping[str, float]:
        """Further columns of the market by name; NaN where there is no value."""
        return {}


class SignalBar(Bar):
    """A bar with signals; made by :meth:`with_signals`."""

    _signals: Mapping[str, float]

    @classmethod
    def with_signals(cls, bar: Bar, signals: Mapping[str, float]) -> SignalBar:
        """``bar`` with further columns by name."""
        made = cls(*bar)
        made._signals = dict(signals)  # a log may read it later
        return made

    @property
    def signals(self) -> Mapping[str, float]:
        """Further columns of the market by name; NaN where there is no value."""
        return self._signals


class _Rule(NamedTuple):
    """One way to be wrong: which rows are, why (for one row), and what would be right."""

    bad: BoolArray
    reason: Callable[[int], str]
    expected: str
    hint: str


def _show(x: float) -> str:
    return f"{x:.12g}"


def _time(t: np.datetime64) -> str:
    return str(t.astype("datetime64[s]")).replace("T00:00:00", "")


def check_columns(
    timestamps: NDArray[np.datetime64], columns: Mapping[str, FloatArray], name: str, locate: Locate
) -> None:
    """Refuse columns [T] that are not bars, naming the first row that is wrong.

    Args:
        timestamps: [T] datetime64[ns].
        columns: open, high, low, close, volume, each [T].
        name: the file or instrument, for the message.
        locate: what to call row i in the message.

    Raises:
        DataError: timestamps missing, repeated or out of order; a price that is not finite and
            positive; ``high < max(open, close)``; ``low > min(open, close)``; a volume that is
            negative or not finite.
    """
    if _in_order(timestamps) and _tradable(columns):
        return
    rules = [*_time_rules(timestamps), *_price_rules(columns), _volume_rule(columns["volume"])]
    wrong = [rule for rule in rules if rule.bad.any()]
    rule = min(wrong, key=lambda r: int(np.argmax(r.bad)))
    row = int(np.argmax(rule.bad))
    count = int(np.count_nonzero(np.logical_or.reduce([r.bad for r in wrong])))
    more = "" if count == 1 else f" (and {count - 1} more row{'s' if count > 2 else ''} refused)"
    raise DataError(
        f"{name} {locate(row)}: {rule.reason(row)}{more}", expected=rule.expected, hint=rule.hint
    )


def _in_order(t: NDArray[np.datetime64]) -> bool:
    """Whether no rule of :func:`_time_rules` is broken, in a fraction of their time."""
    ns = t.view(np.int64)
    return bool(ns[0] != _NO_TIME and (ns[1:] > ns[:-1]).all())


def _tradable(columns: Mapping[str, FloatArray]) -> bool:
    """Whether no rule of prices and of the volume is broken; NaN is beyond every bound."""
    open_, high, low, close, volume = (columns[name] for name in BAR_COLUMNS)
    return bool(
        low.min() > 0.0
        and high.max() < math.inf
        and (np.maximum(open_, close) <= high).all()
        and (np.minimum(open_, close) >= low).all()
        and volume.min() >= 0.0
        and volume.max() < math.inf
    )


def _time_rules(t: NDArray[np.datetime64]) -> list[_Rule]:
    ns = t.astype(np.int64)
    missing = np.isnat(t)
    later = np.ones(len(t), dtype=bool)
    later[1:] = (ns[1:] > ns[:-1]) | missing[1:] | missing[:-1]
    same = np.zeros(len(t), dtype=bool)
    same[1:] = (ns[1:] == ns[:-1]) & ~missing[1:]
    newest_first = len(t) > 2 and bool(np.all(ns[1:] < ns[:-1]))
    return [
        _Rule(
            missing,
            lambda i: "the time is missing",
            "a date or time in every row",
            "fill it or drop the row",
        ),
        _Rule(
            same,
            lambda i: f"time {_time(t[i])} appears twice",
            "each time once for an instrument",
            "drop one of the two; if they are two instruments, add a column `symbol`",
        ),
        _Rule(
            ~later & ~same,
            lambda i: f"time {_time(t[i])} comes after {_time(t[i - 1])}",
            "rows in time order, oldest first",
            "the file runs newest first: reverse it" if newest_first else "sort the file by time",
        ),
    ]


def _price_rules(columns: Mapping[str, FloatArray]) -> list[_Rule]:
    def broken(name: str, x: FloatArray) -> _Rule:
        def reason(i: int) -> str:
            return f"{name} is missing" if math.isnan(x[i]) else f"{name} is {_show(x[i])}"

        return _Rule(
            ~np.isfinite(x) | (x <= 0.0),
            reason,
            "finite prices above 0 in every row",
            "drop rows without a trade; shift or back-adjust series that cross zero",
        )

    open_, high, low, close = (columns[name] for name in PRICES)
    top, bottom = np.maximum(open_, close), np.minimum(open_, close)

    def beyond(i: int, x: float, sign: str) -> str:
        edge = (top if sign == "<" else bottom)[i]
        which, side = ("close" if close[i] == edge else "open"), "high" if sign == "<" else "low"
        return f"{side} {_show(x)} {sign} {which} {_show(edge)}"

    hint = "look at the row; if many are refused, check that no two columns are swapped"
    return [
        *(broken(name, columns[name]) for name in PRICES),
        _Rule(
            high < top, lambda i: beyond(i, high[i], "<"), "high at or above open and close", hint
        ),
        _Rule(
            low > bottom, lambda i: beyond(i, low[i], ">"), "low at or below open and close", hint
        ),
    ]


def _volume_rule(volume: FloatArray) -> _Rule:
    return _Rule(
        ~np.isfinite(volume) | (volume < 0.0),
        lambda i: "volume is missing" if math.isnan(volume[i]) else f"volume is {_show(volume[i])}",
        "a finite volume of 0 or more in every row",
        "write 0 where nothing was traded, or leave the column out",
    )


def nanoseconds(moment: np.datetime64) -> int:
    """Since 1970; NaT, as numpy has it, before all others.

    Integers compare in a fifth of the time that numpy's moments take.
    """
    if moment.dtype != _NANOSECONDS:
        moment = moment.astype(_NANOSECONDS)
    found = moment.item()
    return found if isinstance(found, int) else _NO_TIME


def check_bar(bar: Bar, previous: np.datetime64 | None, name: str) -> None:
    """Refuse one bar by the rules of :func:`check_columns`.

    Args:
        bar: the bar.
        previous: time of the bar before it, None for the first.
        name: what to call the bar in the message.

    Raises:
        DataError: as :func:`check_columns`.
    """
    try:
        moment = nanoseconds(bar.timestamp)
    except AttributeError as error:
        raise DataError(
            f"{name} refused: time {bar.timestamp!r}", expected="a numpy.datetime64"
        ) from error
    last = _NO_TIME if previous is None else nanoseconds(previous)
    low, high, volume = bar.low, bar.high, bar.volume
    try:
        good = (
            0.0 < low <= bar.open <= high < math.inf
            and low <= bar.close <= high
            and 0.0 <= volume < math.inf
            and moment > last
        )
    except TypeError as error:
        shown = ", ".join(f"{each} {getattr(bar, each)!r}" for each in BAR_COLUMNS)
        raise DataError(
            f"{name} refused: {shown}", expected="prices and volume as numbers"
        ) from error
    if good:
        return
    columns = {each: np.full(1, getattr(bar, each), dtype=np.float64) for each in BAR_COLUMNS}
    stamp = np.array([bar.timestamp], dtype="datetime64[ns]")
    check_columns(stamp, columns, name, lambda i: "refused")
    assert previous is not None
    again = moment == last
    raise DataError(
        f"{name} refused: time {_time(bar.timestamp)} "
        + ("appears twice" if again else f"comes after {_time(previous)}"),
        expected="a bar later than the last one",
        hint="the first bar of that time stays; go on with the next one"
        if again
        else "a bar that was missed cannot be put in later; go on with the next one",
    )
