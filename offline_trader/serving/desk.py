"""A desk: a session behind the risk gate, every step of it in an audit log.

What leaves a desk is on disk before it leaves. The log is also the desk's memory: a desk that is
opened on a log that has rows takes all of its bars again, with what the broker held and the moments
of then, and has to come to the decisions, the risk state and the orders that are written there, to
the bit. So a restart after a crash goes on where the last row ends, and a log can be audited with
the model alone (:func:`replay`).
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from offline_trader.codec import plain
from offline_trader.config import from_dict, to_dict
from offline_trader.errors import ConfigError, DataError, OfflineTraderError, RiskHalt
from offline_trader.markets import Bar, Bars, SignalBar
from offline_trader.serving.audit_log import AuditLog, Entry
from offline_trader.serving.risk import (
    Proposal,
    RiskLimits,
    RiskState,
    Verdict,
    halted,
    rearmed,
    review,
)
from offline_trader.serving.session import Decision, Holdings, Session
from offline_trader.simulator import SimulatorConfig

if TYPE_CHECKING:
    from offline_trader.export import OnnxPolicy
    from offline_trader.features import FeatureSet

__all__ = ["Answer", "Desk", "replay"]

OPENED, WARMED, DECIDED, REFUSED = "opened", "warmed up", "decided", "refused"
HALTED, REARMED = "halted", "re-armed"
ALERT, HEALTH = "alert", "health"
"""Rows about the desk that decide nothing: a desk that takes its log again passes over them."""
_BARS_A_ROW = 1_000
_REMEMBERED = 1_000


@dataclass(frozen=True)
class Answer:
    """What a desk says at a bar.

    Attributes:
        decision: the session's.
        units: signed units to order now; 0: nothing.
        state: of the risk gate.
        reasons: why it is not what the decision asks for.
        row: number of the log's row.
    """

    decision: Decision
    units: float
    state: RiskState
    reasons: tuple[str, ...]
    row: int


class Desk:
    """One model on one instrument with an account of its own or a broker's.

    Args:
        policy: the exported model.
        log: empty, or of the same model, rules and limits.
        limits: of the risk gate; by default those of the log, or the default ones.
        rules: the trading rules; by default those that the model states.
        features: as for :class:`Session`.
        bars_per_year: as for :class:`Session`.
        clock: the moment, seconds since 1970.

    Attributes:
        stated: model, layout, rules and limits, as the log's first row has them.
        recent: the last decisions, oldest first, those before a restart among them.

    Raises:
        ConfigError: the log is of another model, other rules or other limits.
        DataError: the log is damaged, or what it says is not what the model decides.
    """

    def __init__(
        self,
        policy: OnnxPolicy,
        log: AuditLog,
        limits: RiskLimits | None = None,
        *,
        rules: SimulatorConfig | None = None,
        features: FeatureSet | str | Sequence[str] | None = None,
        bars_per_year: float | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.log, self._clock = log, clock
        number, _ = log.verify()
        opening = next(log.entries(OPENED), None)
        told = {} if opening is None else opening.content
        self.limits = limits or from_dict(RiskLimits, told.get("limits", {}))
        self._session = Session(
            policy,
            rules,
            features=features,
            bars_per_year=told.get("bars_per_year") if bars_per_year is None else bars_per_year,
        )
        self._state = RiskState()
        self.recent: deque[Decision] = deque(maxlen=_REMEMBERED)
        self._broken, self._rows = "", number
        self.stated: dict[str, Any] = {
            "model_sha256": policy.file.sha256,
            "layout_hash": policy.layout.hash,
            "rules": to_dict(self._session.rules),
            "limits": to_dict(self.limits),
            "bars_per_year": bars_per_year,
        }
        if number == 0:
            self._write(OPENED, self.stated)
            return
        _require_same(log, told, self.stated, bars_per_year)
        for entry in log.entries():
            self._take_again(entry)

    @property
    def state(self) -> RiskState:
        """Of the risk gate."""
        return self._state

    @property
    def broken(self) -> str:
        """Why nothing can be ordered until the desk is opened anew; empty: it can."""
        return self._broken

    @property
    def session(self) -> Session:
        """To look at; feed bars to the desk."""
        return self._session

    def warm_up(self, bars: Bars | Iterable[Bar]) -> Desk:
        """Show the features past bars, which are logged. Returns the desk.

        Raises:
            ConfigError, DataError: as :meth:`Session.warm_up`; and the log cannot be written.
        """
        rows = list(bars)
        for first in range(0, len(rows), _BARS_A_ROW):
            part, before = rows[first : first + _BARS_A_ROW], self._session.bars_seen
            try:
                self._session.warm_up(part)
            finally:  # those before one that is refused have been seen
                seen = part[: self._session.bars_seen - before]
                if seen:
                    self._write(WARMED, {"bars": [_bar_row(bar) for bar in seen]})
        return self

    def on_bar(self, bar: Bar, *, holdings: Holdings | None = None) -> Answer:
        """The decision at the close of ``bar`` and what of it may be ordered; it is logged.

        Raises:
            DataError, ConfigError: as :meth:`Session.on_bar`; that is logged, and nothing ordered.
            RiskHalt: the log cannot be written, so nothing may be ordered until the desk is opened
                anew.
        """
        if self._broken:
            raise RiskHalt(self._broken, hint="open the desk anew on its log")
        now = self._clock()
        try:
            decision = self._session.on_bar(bar, holdings=holdings)
        except OfflineTraderError as error:
            self._write(REFUSED, {"bar": _bar_row(bar), "now": now, "why": error.found})
            raise
        verdict = self._pass_gate(decision, bar, now)
        content = _decided(bar, now, holdings, decision, verdict, self._state)
        entry = self._write(DECIDED, content)
        self.recent.append(decision)
        return Answer(decision, verdict.units, self._state, verdict.reasons, entry.number)

    def halt(self, reason: str) -> RiskState:
        """The kill switch: no order until :meth:`rearm`."""
        self._state = halted(self._state, reason)
        self._write(HALTED, {"reason": reason, "now": self._clock()})
        return self._state

    def rearm(self, reason: str) -> RiskState:
        """Back to NORMAL.

        Args:
            reason: who does it, and why.

        Raises:
            ConfigError: no reason.
        """
        after = rearmed(self._state, reason)
        self._write(REARMED, {"reason": reason, "now": self._clock()})
        self._state = after
        return after

    def record(self, kind: str, content: Mapping[str, Any]) -> Entry:
        """The row of something about the desk that decides nothing, as an alert.

        Args:
            kind: ``alert`` or ``health``.
            content: a JSON object.

        Raises:
            RiskHalt: the log cannot be written, so nothing may be ordered.
        """
        if kind not in (ALERT, HEALTH):
            raise ValueError(f"a row of the kind {kind!r} would be taken again")
        if self._broken:
            raise RiskHalt(self._broken, hint="open the desk anew on its log")
        return self._write(kind, content)

    def _pass_gate(self, decision: Decision, bar: Bar, now: float) -> Verdict:
        """The verdict on a decision; the session's account fills what it lets through."""
        order, p, rules = decision.order, decision.portfolio, self._session.rules
        asked = 0.0 if order is None else order.units
        self._state, verdict = review(
            self.limits,
            self._state,
            Proposal(
                units=asked,
                price=bar.close,
                bar_time=_seconds(bar),
                now=now,
                held=p.units,
                equity=p.equity,
                action=decision.action,
                lot=rules.lot_size,
                min_notional=rules.min_notional,
            ),
        )
        if verdict.units != asked:
            self._session.amend(verdict.units)
        return verdict

    def _write(self, kind: str, content: Mapping[str, Any]) -> Entry:
        try:
            entry = self.log.append(kind, content)
        except DataError as error:
            self._broken = f"the audit log cannot be written: {error.found}"
            self._session.amend(0.0)
            raise RiskHalt(self._broken, expected=error.expected, hint=error.hint) from error
        self._rows += 1
        if entry.number != self._rows:
            self._broken = f"somebody else writes to {self.log.path}"
            self._session.amend(0.0)
            raise RiskHalt(self._broken, expected="one desk a log")
        return entry

    def _take_again(self, entry: Entry) -> None:
        """Do what a row says was done, and compare.

        Raises:
            DataError: it comes to something else, or the row is none of a desk's.
        """
        told, place = entry.content, f"{self.log.path} row {entry.number}"
        try:
            if entry.kind == WARMED:
                self._session.warm_up([_bar(row) for row in told["bars"]])
            elif entry.kind == HALTED:
                self._state = halted(self._state, str(told["reason"]))
            elif entry.kind == REARMED:
                self._state = rearmed(self._state, str(told["reason"]))
            elif entry.kind == DECIDED:
                self._decide_again(told, place)
            elif entry.kind not in (OPENED, REFUSED, ALERT, HEALTH):
                raise DataError(f"{place} is of the kind {entry.kind!r}", expected="a desk's log")
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"{place} cannot be read: {error}", expected="a desk's log") from error

    def _decide_again(self, told: Mapping[str, Any], place: str) -> None:
        bar, now = _bar(told["bar"]), float(told["now"])
        holdings = None if told["holdings"] is None else Holdings(*told["holdings"])
        decision = self._session.on_bar(bar, holdings=holdings)
        self.recent.append(decision)
        verdict = self._pass_gate(decision, bar, now)
        found = plain(_decided(bar, now, holdings, decision, verdict, self._state))
        for key, value in told.items():
            if found.get(key) != value:
                raise DataError(
                    f"{place} says {key} {value!r}",
                    expected=f"{found.get(key)!r}, which the model decides on these bars",
                    hint="another model, version or machine wrote the log, or it was changed",
                )


def replay(policy: OnnxPolicy, log: AuditLog, **settings: Any) -> int:
    """Number of decisions in a desk's log, after the model came to each of them again to the bit.

    Args:
        policy: the model of the log.
        log: of a desk; not written.
        settings: as for :class:`Desk`, where they were given.

    Raises:
        DataError: no rows, a broken chain, or the first row that differs.
        ConfigError: a log of another model.
    """
    if log.last[0] == 0:
        raise DataError(f"{log.path} has no rows", expected="the log of a desk")
    Desk(policy, log, **settings)
    return sum(1 for _ in log.entries(DECIDED))


def _require_same(
    log: AuditLog, told: Mapping[str, Any], stated: Mapping[str, Any], bars_per_year: float | None
) -> None:
    if not told:
        raise DataError(f"{log.path} does not begin with a desk", expected="the log of a desk")
    for key, value in stated.items():
        if key == "bars_per_year" and bars_per_year is None:
            continue
        if told.get(key) != plain(value):
            raise ConfigError(
                f"{log.path} is of {key} {told.get(key)!r}",
                expected=f"{plain(value)!r}",
                hint="begin a log of its own for another model, other rules or other limits",
            )


def _decided(
    bar: Bar,
    now: float,
    holdings: Holdings | None,
    decision: Decision,
    verdict: Verdict,
    state: RiskState,
) -> dict[str, Any]:
    p = decision.portfolio
    return {
        "bar": _bar_row(bar),
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
        "risk": state,
    }


def _bar_row(bar: Bar) -> list[Any]:
    row = [str(np.datetime_as_string(bar.timestamp)), *(float(x) for x in bar[1:6])]
    return [*row, dict(bar.signals)] if bar.signals else row


def _bar(row: list[Any]) -> Bar:
    bar = Bar(np.datetime64(row[0]), *map(float, row[1:6]))
    if len(row) == 6:
        return bar
    signals = {name: math.nan if x is None else float(x) for name, x in row[6].items()}
    return SignalBar.with_signals(bar, signals)


def _seconds(bar: Bar) -> float:
    return int(bar.timestamp.astype("datetime64[ns]").astype(np.int64)) / 1e9
