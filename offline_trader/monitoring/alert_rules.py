"""When an alert is raised and when it ends: a threshold with hysteresis, patience and a cooldown.

Pure: a rule, a state, a value and the moment give a state and perhaps an event, so a restart that
reads its states back from the audit log goes on where it was.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from offline_trader.errors import ConfigError, did_you_mean
from offline_trader.monitoring.signals import SIGNALS

__all__ = ["SEVERITIES", "AlertRule", "AlertState", "Event", "Severity", "is_number", "judge"]

Severity: TypeAlias = Literal["info", "warning", "critical"]
SEVERITIES: tuple[Severity, ...] = ("info", "warning", "critical")


@dataclass(frozen=True)
class AlertRule:
    """A threshold on a signal of a desk.

    Attributes:
        signal: one of :data:`~offline_trader.monitoring.signals.SIGNALS`.
        above, below: raised beyond this value; one of them.
        clear: it ends at this value or on the good side of it; None: at the threshold.
        for_s: how long the value has to be beyond, in seconds.
        cooldown_s: within this time after it was told, it is raised without being told again.
        severity: how bad it is.
        enabled: it is looked at.
    """

    signal: str
    above: float | None = None
    below: float | None = None
    clear: float | None = None
    for_s: float = 0.0
    cooldown_s: float = 3_600.0
    severity: Severity = "warning"
    enabled: bool = True

    def __post_init__(self) -> None:
        if self.signal not in SIGNALS:
            raise ConfigError(
                f"signal {self.signal!r}",
                expected=f"one of {', '.join(SIGNALS)}",
                hint=did_you_mean(self.signal, SIGNALS),
            )
        for name in ("above", "below", "clear", "for_s", "cooldown_s"):
            value, optional = getattr(self, name), not name.endswith("_s")
            if not (is_number(value) or (optional and value is None)):
                raise ConfigError(
                    f"{name} is {value!r} in an alert on {self.signal}", expected="a number"
                )
            if name in ("above", "below", "for_s") and value is not None and math.isinf(value):
                raise ConfigError(
                    f"{name} is {value!r} in an alert on {self.signal}, raised never or always",
                    expected="a finite number",
                    hint="enabled: false switches an alert off",
                )
        if (self.above is None) == (self.below is None):
            count = "no" if self.above is None else "two"
            raise ConfigError(
                f"an alert on {self.signal} with {count} thresholds",
                expected="above or below",
            )
        if not (self.for_s >= 0.0 and self.cooldown_s >= 0.0):
            raise ConfigError(
                f"for_s of {self.for_s} and cooldown_s of {self.cooldown_s}",
                expected="seconds, 0 or more",
            )
        if self.clear is not None and self.is_beyond(self.clear):
            raise ConfigError(
                f"an alert on {self.signal} that ends at {self.clear}, where it is raised",
                expected=f"clear on the good side of {self.threshold}",
            )

    @property
    def threshold(self) -> float:
        """Beyond which it is raised."""
        level = self.above if self.above is not None else self.below
        assert level is not None
        return level

    def is_beyond(self, value: float) -> bool:
        """Whether ``value`` is on the bad side of the threshold."""
        return value > self.threshold if self.above is not None else value < self.threshold

    def is_over(self, value: float) -> bool:
        """Whether an alert that was raised ends at ``value``."""
        level = self.threshold if self.clear is None else self.clear
        return value <= level if self.above is not None else value >= level


@dataclass(frozen=True)
class AlertState:
    """What is remembered of an alert.

    Attributes:
        firing: it was raised, and has not ended.
        since: the moment from which the value was beyond; None: it is not.
        told: people were told of the present one.
        told_at: the moment when they were last told of one; None: never.
    """

    firing: bool = False
    since: float | None = None
    told: bool = False
    told_at: float | None = None


@dataclass(frozen=True)
class Event:
    """What happened to an alert.

    Attributes:
        kind: raised or cleared.
        tell: people are to be told.
    """

    kind: Literal["raised", "cleared"]
    tell: bool


def is_number(value: object) -> bool:
    """Whether something can be compared with it; nothing lies beyond what is no number."""
    return isinstance(value, int | float) and value == value


def judge(
    rule: AlertRule, state: AlertState, value: float | None, now: float
) -> tuple[AlertState, Event | None]:
    """The state at the moment ``now``, and what happened.

    Args:
        rule: of the alert.
        state: before.
        value: of its signal; None: it is not known, and nothing happens.
        now: seconds; where it went back, time counts anew from it.
    """
    if value is None:
        return (state if state.firing else _beyond_since(state, None)), None
    if state.firing:
        return _going_on(rule, state, value, now)
    if not rule.is_beyond(value):
        return _beyond_since(state, None), None
    since = now if state.since is None or state.since > now else state.since
    if now - since < rule.for_s:
        return _beyond_since(state, since), None
    tell = not _cooling(rule, state, now)
    after = AlertState(True, since, tell, now if tell else state.told_at)
    return after, Event("raised", tell)


def _beyond_since(state: AlertState, since: float | None) -> AlertState:
    """The state with another ``since``; itself where nothing changes, as at nearly every look."""
    return state if state.since == since else replace(state, since=since)


def _going_on(
    rule: AlertRule, state: AlertState, value: float, now: float
) -> tuple[AlertState, Event | None]:
    if rule.is_over(value):
        return AlertState(told_at=state.told_at), Event("cleared", state.told)
    if not state.told and not _cooling(rule, state, now):
        return replace(state, told=True, told_at=now), Event("raised", True)
    return state, None


def _cooling(rule: AlertRule, state: AlertState, now: float) -> bool:
    return state.told_at is not None and 0.0 <= now - state.told_at < rule.cooldown_s
