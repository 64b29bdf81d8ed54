"""What no order may pass: the limits of one desk, and the day that they count by."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from offline_trader.errors import ConfigError
from offline_trader.serving.exchange_hours import hours_of

__all__ = ["Hours", "RiskLimits", "day_of", "hours_at", "require_values"]

_LONGEST_WINDOW = 100_000
_DAYS: dict[str, tuple[float, float, str]] = {}
"""Of each zone the day that was asked for last: from, until (seconds since 1970), and its name."""


@dataclass(frozen=True)
class RiskLimits:
    """What no order may pass.

    Attributes:
        max_exposure: largest |position value| / equity after an order.
        max_order_notional: largest order at its reference price, quote currency; None: any.
        max_position_notional: largest |position value| after an order, quote currency;
            None: any.
        max_daily_loss: loss since the day's first equity, as a share of it, at which the state
            becomes REDUCE.
        max_drawdown: fall from the highest equity, as a share of it, at which it becomes HALT.
        max_orders_per_day: orders let through a day.
        max_price_move: largest move of the price since the one before, as a share; beyond it the
            price is not believed, and nothing is ordered.
        max_price_age_s: age of the price, seconds from the bar's time stamp to the moment.
        max_equal_actions: equal actions in a row after which the output counts as frozen, and the
            state becomes REDUCE.
        collapse_window: last decisions whose actions are judged as an evaluation's are; COLLAPSED,
            the state becomes REDUCE. 0: never.
        min_confidence: smallest distance of an action from asking for nothing, in units of its
            spread under input noise (:class:`~offline_trader.serving.model_watch.Confidence`);
            None: any.
        price_collar: orders have a limit price so far beyond the reference price, as a share of
            it (above for a purchase, below for a sale); None: they are market orders.
        day_zone: time zone whose midnight begins a day, where there is no calendar.
        calendar: code of an exchange, such as XNYS: a day is its session, and what is decided
            after the close is of the next one. Needs ``exchange-calendars``.
        open_only: no order while that exchange is closed.
    """

    max_exposure: float = 1.0
    max_order_notional: float | None = None
    max_position_notional: float | None = None
    max_daily_loss: float = 0.05
    max_drawdown: float = 0.2
    max_orders_per_day: float = 100
    max_price_move: float = 0.2
    max_price_age_s: float = 3_600.0
    max_equal_actions: float = 200
    collapse_window: int = 1_000
    min_confidence: float | None = None
    price_collar: float | None = None
    day_zone: str = "UTC"
    calendar: str | None = None
    open_only: bool = False

    def __post_init__(self) -> None:
        require_values(self, "limits")
        if self.price_collar is not None and self.price_collar >= 1.0:
            raise ConfigError(f"limits.price_collar is {self.price_collar}", expected="below 1")
        if self.collapse_window > _LONGEST_WINDOW:
            raise ConfigError(
                f"limits.collapse_window is {self.collapse_window}",
                expected=f"{_LONGEST_WINDOW:,} or less",
            )
        if self.calendar is not None:
            hours_of(self.calendar)
        elif self.open_only:
            raise ConfigError(
                "limits.open_only without limits.calendar", expected="an exchange's code"
            )
        try:
            ZoneInfo(self.day_zone)
        except (KeyError, ValueError, OSError) as error:
            raise ConfigError(
                f"limits.day_zone is {self.day_zone!r}", expected="a zone such as America/New_York"
            ) from error


class Hours(NamedTuple):
    """What a calendar says of a moment; it is written with the decision, since calendars change.

    Attributes:
        day: that counts it; None: no calendar reaches it.
        closed: why nothing may be ordered; empty: it may.
    """

    day: str | None
    closed: str = ""


def hours_at(limits: RiskLimits, moment: float) -> Hours:
    """The hours of a moment, seconds since 1970."""
    if not math.isfinite(moment):
        return Hours(None)
    closed = ""
    if limits.open_only and limits.calendar is not None:
        found = hours_of(limits.calendar)
        if not found.is_open(moment):
            closed = f"{limits.calendar} is closed, it opens {found.next_open(moment)}"
    return Hours(day_of(limits, moment), closed)


def require_values(settings: Any, name: str) -> None:
    """Nothing if each field has a value of its kind; numbers are 0 or more.

    Args:
        settings: a dataclass of numbers, texts and switches, None where a field's type has it.
        name: what the message calls it.

    Raises:
        ConfigError: one has not.
    """
    for each in fields(settings):
        value, kinds = getattr(settings, each.name), str(each.type).split(" | ")
        if value is None and "None" in kinds:
            continue
        if "str" in kinds:
            good, expected = isinstance(value, str), "a text"
        elif "bool" in kinds:
            good, expected = isinstance(value, bool), "true or false"
        else:
            number = isinstance(value, int | float) and not isinstance(value, bool)
            good, expected = number and 0.0 <= value < math.inf, "a number of 0 or more"
        if not good:
            raise ConfigError(
                f"{name}.{each.name} is {value!r}",
                expected=f"{expected}, or None" if "None" in kinds else expected,
            )


def day_of(limits: RiskLimits, moment: float) -> str | None:
    """The day that counts a moment; None: no calendar reaches it."""
    if limits.calendar is not None:
        return hours_of(limits.calendar).day(moment)
    begin, end, today = _DAYS.get(limits.day_zone, (0.0, 0.0, ""))
    if begin <= moment < end:
        return today
    zone = ZoneInfo(limits.day_zone)
    try:
        day = datetime.fromtimestamp(moment, zone).date()
        begin = datetime(day.year, day.month, day.day, tzinfo=zone).timestamp()
        after = day + timedelta(days=1)
        end = datetime(after.year, after.month, after.day, tzinfo=zone).timestamp()
    except (ValueError, OSError, OverflowError):
        return None
    _DAYS[limits.day_zone] = begin, end, day.isoformat()
    return day.isoformat()
