"""Rows of a desk's log: their kinds, and how bars and decisions are written and read back."""

from __future__ import annotations

import math
from decimal import Decimal
from numbers import Real
from typing import Any

import numpy as np

from offline_trader.errors import ConfigError, DataError, in_brief
from offline_trader.markets import Bar, SignalBar, nanoseconds
from offline_trader.serving.audit_log import AuditLog
from offline_trader.serving.decisions import Decision, Holdings
from offline_trader.serving.risk import RiskState, Verdict

__all__ = [
    "bar_of",
    "bar_row",
    "decided",
    "models_named",
    "plain_bar",
    "plain_holdings",
    "refused_row",
    "seconds_of",
]

OPENED, WARMED, DECIDED, REFUSED = "opened", "warmed up", "decided", "refused"
HALTED, REARMED, SWAPPED, SHADOWED = "halted", "re-armed", "swapped", "shadowed"
LOADED, NOT_PUT = "loaded", "model refused"
ALERT, HEALTH = "alert", "health"
ABOUT = frozenset({LOADED, NOT_PUT, ALERT, HEALTH})
"""Rows about the desk that decide nothing: a desk that takes its log again passes over them."""
_SHOWN = 200


def decided(
    bar: Bar,
    now: float,
    holdings: Holdings | None,
    decision: Decision,
    verdict: Verdict,
    state: RiskState,
) -> dict[str, Any]:
    """What is written of a decision."""
    p = decision.portfolio
    chosen = {} if decision.option is None else {"option": decision.option._asdict()}
    return {
        "bar": bar_row(bar),
        "now": now,
        "holdings": None if holdings is None else list(holdings),
        "action": decision.action,
        "executed": decision.executed,
        "asked": 0.0 if decision.order is None else decision.order.units,
        "units": verdict.units,
        "hold": None if decision.hold is None else str(decision.hold),
        "because": decision.because,
        "reasons": list(verdict.reasons),
        "portfolio": {"cash": p.cash, "units": p.units, "equity": p.equity, "costs": p.costs},
        "fill": list(decision.fill),
        "risk": vars(state),  # nobody changes it
        **chosen,
    }


def plain_bar(bar: Bar) -> Bar:
    """``bar`` with the numbers that its row gives back: single precision, or an integer, would be
    reckoned with otherwise when the log is taken again.

    Raises:
        DataError: it is no bar of numbers at a ``numpy.datetime64``.
    """
    if not isinstance(bar, Bar) or not isinstance(bar.timestamp, np.datetime64):
        raise DataError(
            f"{_cut(bar)} as a bar", expected="a Bar whose time is a numpy.datetime64 (UTC)"
        )
    signals = bar.signals
    if not signals and all(type(x) is float for x in bar[1:]):
        return bar
    try:
        made = Bar(bar.timestamp, *map(_number, bar[1:]))
        named = {str(name): _signal(x) for name, x in signals.items()}
    except (TypeError, ValueError, OverflowError) as error:
        raise DataError(
            f"{_cut(bar)}: {error}", expected="prices, volume and signals as numbers"
        ) from error
    return SignalBar.with_signals(made, named) if signals else made


def plain_holdings(holdings: Holdings) -> Holdings:
    """``holdings`` with the numbers that their row gives back.

    Raises:
        ConfigError: they are no three numbers.
    """
    try:
        return Holdings(*map(_number, holdings))
    except (TypeError, ValueError, OverflowError) as error:
        raise ConfigError(
            f"holdings of {_cut(holdings)}: {error}",
            expected="Holdings(cash, units, entry_price) of numbers",
        ) from error


def refused_row(bar: Bar) -> list[Any]:
    """As :func:`bar_row`, of what may be no bar at all."""
    try:
        return bar_row(plain_bar(bar))
    except DataError:
        return [_cut(bar)]


def bar_row(bar: Bar) -> list[Any]:
    """Time, prices, volume, and signals where there are any."""
    row: list[Any] = [str(bar.timestamp), *map(float, bar[1:6])]
    return [*row, dict(bar.signals)] if bar.signals else row


def bar_of(row: list[Any]) -> Bar:
    """The bar of :func:`bar_row`."""
    bar = Bar(np.datetime64(row[0]), *map(float, row[1:6]))
    if len(row) == 6:
        return bar
    signals = {name: math.nan if x is None else float(x) for name, x in row[6].items()}
    return SignalBar.with_signals(bar, signals)


def seconds_of(bar: Bar) -> float:
    """The bar's time stamp, seconds since 1970."""
    return nanoseconds(bar.timestamp) / 1e9


def models_named(log: AuditLog) -> set[str]:
    """SHA-256 of every model that the desk's log puts in force or in the shadow."""
    named = (each.content.get("model_sha256") for each in log.entries(OPENED, SWAPPED, SHADOWED))
    return {str(each) for each in named if each is not None}


def _number(x: object) -> float:
    if type(x) is float:
        return x
    if isinstance(x, Real | Decimal):  # those of numpy among them
        return float(x)
    raise TypeError(f"{_cut(x)} is no number")


def _signal(x: object) -> float:
    """A log, whose numbers are finite, has no value in the place of an infinite one."""
    value = _number(x)
    if math.isinf(value):
        raise ValueError(f"a signal is {value}")
    return value


def _cut(found: object) -> str:
    return in_brief(repr(found) if isinstance(found, str) else found, _SHOWN)
