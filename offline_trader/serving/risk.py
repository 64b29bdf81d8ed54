"""The risk gate: every order passes it, and what it does not know, it refuses.

A pure function from limits, state and a proposal to a state and a verdict, so that a restart that
reads its state back, and a replay of a log, decide the same. States only get worse by themselves::

    NORMAL → REDUCE   orders towards zero alone, never through it
           → HALT     no order

and a person brings them back, with a reason (:func:`rearmed`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import NamedTuple

from offline_trader.errors import ConfigError
from offline_trader.serving.risk_limits import Hours, RiskLimits, hours_at

__all__ = [
    "Proposal",
    "RiskState",
    "State",
    "Verdict",
    "halted",
    "limit_price",
    "rearmed",
    "require_reason",
    "review",
]


class State(StrEnum):
    """What the gate lets through."""

    NORMAL = "NORMAL"
    REDUCE = "REDUCE"
    HALT = "HALT"


_SEVERITY = (State.NORMAL, State.REDUCE, State.HALT)


@dataclass(frozen=True)
class RiskState:
    """All that the gate remembers; it is written with every decision.

    Attributes:
        state: what is let through.
        reason: why it is not NORMAL.
        moment: of the last review, seconds since 1970.
        day: the day of it, ISO.
        day_equity: first equity of the day.
        peak: highest equity.
        orders_today: let through.
        price: the last one that was believed, 0 before the first.
        action: of the last review, and how many in a row were equal.
        ordered_at: the bar's time of the last order that was let through.
    """

    state: State = State.NORMAL
    reason: str = ""
    moment: float = 0.0
    day: str = ""
    day_equity: float = 0.0
    peak: float = 0.0
    orders_today: int = 0
    price: float = 0.0
    action: float | None = None
    equal_actions: int = 0
    ordered_at: float = 0.0

    def worse(self, state: State, reason: str) -> RiskState:
        """At least as bad as ``state``; the reason of the first fall stays."""
        if _SEVERITY.index(state) <= _SEVERITY.index(self.state):
            return self
        return replace(self, state=state, reason=reason)


class Proposal(NamedTuple):
    """What is to be reviewed.

    Attributes:
        units: signed units to order; 0: nothing.
        price: that they are sized at, quote currency.
        bar_time: time stamp of the bar, seconds since 1970.
        now: the moment, seconds since 1970.
        held: signed units held.
        equity: at the price.
        action: the model's; None: it was not asked.
        lot: multiples that orders come in; 0: any.
        min_notional: smaller orders are not sent, unless they close the position.
        collapsed: the verdict on the last actions; empty: none.
        confidence: of the action; None: it was not asked for.
        caps: largest |position value| after the order that other limits leave, and their names.
        barred: why nothing may be ordered by other limits; empty: it may.
        hours: what the calendar says of the moment; None: it is asked.
    """

    units: float
    price: float
    bar_time: float
    now: float
    held: float
    equity: float
    action: float | None = None
    lot: float = 0.0
    min_notional: float = 0.0
    collapsed: str = ""
    confidence: float | None = None
    caps: tuple[tuple[float, str], ...] = ()
    barred: str = ""
    hours: Hours | None = None


class Verdict(NamedTuple):
    """What may be sent.

    Attributes:
        units: signed; of the sign of what was proposed and never more; 0: nothing.
        reasons: what was refused or cut and why.
    """

    units: float
    reasons: tuple[str, ...] = ()


def halted(state: RiskState, reason: str) -> RiskState:
    """The kill switch."""
    return state.worse(State.HALT, reason)


def require_reason(reason: str, what: str) -> None:
    """Nothing if there is a reason.

    Raises:
        ConfigError: there is none.
    """
    if not reason.strip():
        raise ConfigError(f"no reason {what}", expected="who does it, and why")


def rearmed(state: RiskState, reason: str, now: float) -> RiskState:
    """Back to NORMAL by a person; losses count anew from the next equity on, and the clock is
    believed anew: one that had run ahead would shut out every order until it is there again.

    Args:
        state: before.
        reason: who does it, and why.
        now: the moment, seconds since 1970; where the last one lies behind it, that one stays: it
            tells how long nothing has been decided.

    Raises:
        ConfigError: no reason.
    """
    require_reason(reason, "to re-arm")
    return replace(
        state,
        state=State.NORMAL,
        reason="",
        moment=min(state.moment, now),
        day="",
        peak=0.0,
        equal_actions=0,
        action=None,
    )


def limit_price(limits: RiskLimits, units: float, reference: float) -> float | None:
    """The limit price of an order of signed ``units``; None: a market order, or none."""
    if limits.price_collar is None or units == 0.0:
        return None
    return reference * (1.0 + math.copysign(limits.price_collar, units))


def review(limits: RiskLimits, before: RiskState, asked: Proposal) -> tuple[RiskState, Verdict]:
    """The state after a proposal, and what of it may be sent."""
    today, closed = asked.hours or hours_at(limits, asked.now)
    doubt = _doubt(limits, before, asked, today)
    state = _counted(limits, before, asked, today if doubt is None else None)
    if asked.units == 0.0:
        return state, Verdict(0.0, () if doubt is None else (doubt,))
    refusal = doubt or _refusal(limits, state, asked, closed)
    if refusal is not None:
        return state, Verdict(0.0, (refusal,))
    units, reasons = _cut(limits, state, asked)
    if units != 0.0:
        state = _changing(state)
        kept = vars(state)
        kept["orders_today"] += 1
        kept["ordered_at"] = asked.bar_time
    return state, Verdict(units, reasons)


def _doubt(limits: RiskLimits, before: RiskState, asked: Proposal, today: str | None) -> str | None:
    """Why the price, the clock or the account cannot be believed."""
    numbers = (asked.units, asked.price, asked.bar_time, asked.now, asked.held, asked.equity)
    if not all(map(math.isfinite, numbers)) or asked.price <= 0.0:
        return "a number of the proposal is none"
    if asked.caps and not all(cap >= 0.0 for cap, _ in asked.caps):
        return "a limit of the book is no number"
    if asked.now < before.moment:
        return (
            f"the clock went back by {before.moment - asked.now:.6g} s: nothing is ordered until "
            f"it has passed {_shown(before.moment)} (UTC); if the clock is right now and was "
            "wrong then, re-arm the desk"
        )
    if today is None:
        return f"the calendar of {limits.calendar or limits.day_zone} does not reach this moment"
    age = asked.now - asked.bar_time
    if not 0.0 <= age <= limits.max_price_age_s:
        return f"the price is {age:.6g} s old, 0 to {limits.max_price_age_s:.6g} are allowed"
    if before.price > 0.0:
        move = abs(asked.price / before.price - 1.0)
        if move > limits.max_price_move:
            return f"the price moved by {move:.2%}, {limits.max_price_move:.2%} are believed"
    return None


def _shown(moment: float) -> str:
    """A moment, seconds since 1970, as people write it."""
    try:
        return datetime.fromtimestamp(moment, UTC).isoformat(sep=" ", timespec="seconds")[:19]
    except (ValueError, OSError, OverflowError):
        return f"{moment:.6g} s since 1970"


def _counted(
    limits: RiskLimits, before: RiskState, asked: Proposal, today: str | None
) -> RiskState:
    """The state with this moment's day, equity, price and action in it.

    Args:
        today: the day that counts it; None: the proposal is not believed.
    """
    state = _changing(before)
    kept = vars(state)
    if math.isfinite(asked.price) and asked.price > 0.0:
        # a price that is not believed once is the new level if the next one agrees with it
        kept["price"] = asked.price
    worse: list[tuple[State, str]] = []
    if asked.action is not None:
        equal = before.equal_actions + 1 if asked.action == before.action else 1
        kept["action"], kept["equal_actions"] = asked.action, equal
        if equal > limits.max_equal_actions:
            worse.append((State.REDUCE, f"{equal} equal actions in a row"))
    if asked.collapsed:
        worse.append((State.REDUCE, f"the model has collapsed: {asked.collapsed}"))
    if math.isfinite(asked.now) and asked.now >= before.moment:
        kept["moment"] = asked.now
    if today is not None:
        if today != before.day:
            kept |= {"day": today, "day_equity": asked.equity, "orders_today": 0}
        kept["peak"] = max(before.peak, asked.equity)
        worse += _losses(limits, kept["day_equity"], kept["peak"], asked.equity)
    for severity, reason in worse:
        state = state.worse(severity, reason)
    return state


def _changing(state: RiskState) -> RiskState:
    """A copy whose ``vars`` may be written until it is handed on: a frozen class would be made
    field by field."""
    made = object.__new__(RiskState)
    made.__dict__.update(vars(state))
    return made


def _losses(
    limits: RiskLimits, day_equity: float, peak: float, equity: float
) -> list[tuple[State, str]]:
    """The states that the losses lead to, and why."""
    found = []
    for start, limit, worst, name in (
        (day_equity, limits.max_daily_loss, State.REDUCE, "the day's loss"),
        (peak, limits.max_drawdown, State.HALT, "the drawdown"),
    ):
        loss = start - equity
        if start <= 0.0 or loss > limit * start:
            share = f"{loss / start:.2%}" if start > 0.0 else "everything"
            found.append((worst, f"{name} is {share}, {limit:.2%} are allowed"))
    return found


def _refusal(limits: RiskLimits, state: RiskState, asked: Proposal, closed: str) -> str | None:
    """Why nothing at all may be ordered."""
    if state.state is State.HALT:
        return f"halted: {state.reason}"
    if asked.bar_time <= state.ordered_at:
        return "an order of this bar, or of a later one, was let through already"
    if closed:
        return closed
    if state.orders_today >= limits.max_orders_per_day:
        return f"{state.orders_today} orders today, {limits.max_orders_per_day:.0f} are allowed"
    if asked.barred:
        return asked.barred
    if limits.min_confidence is not None:
        sure = asked.confidence
        if sure is None or not sure >= limits.min_confidence:
            shown = "unknown" if sure is None else f"{sure:.3g}"
            return f"the confidence is {shown}, {limits.min_confidence:.3g} is asked for"
    if state.state is State.REDUCE and asked.units * asked.held >= 0.0:
        return f"only towards zero: {state.reason}"
    return None


def _cut(limits: RiskLimits, state: RiskState, asked: Proposal) -> tuple[float, tuple[str, ...]]:
    """The part of the proposal that every limit allows."""
    sign = math.copysign(1.0, asked.units)
    room: list[tuple[float, str]] = []
    if limits.max_order_notional is not None:
        room.append((limits.max_order_notional / asked.price, "the largest order"))
    if state.state is State.REDUCE:
        room.append((abs(asked.held), f"only to zero: {state.reason}"))
    towards = -sign * asked.held  # units until zero; negative: the position is on this side
    positions = [(limits.max_exposure * max(asked.equity, 0.0), "the largest exposure")]
    if limits.max_position_notional is not None:
        positions.append((limits.max_position_notional, "the largest position"))
    for limit, name in (*positions, *asked.caps):
        # What leads towards zero is always allowed, also from a position beyond the limit.
        room.append((max(limit / asked.price, 0.0) + towards, name))
    size = abs(asked.units)
    reasons = []
    for most, name in room:
        if size > max(most, 0.0):
            size = max(most, 0.0)
            reasons.append(f"cut to {size:.6g} units: {name}")
    if not reasons:
        return asked.units, ()
    closes = size == towards
    if asked.lot > 0.0 and not closes:
        size = math.floor(size / asked.lot) * asked.lot
    if size * asked.price < asked.min_notional and not closes:
        size = 0.0
    return sign * size if size > 0.0 else 0.0, tuple(reasons)
