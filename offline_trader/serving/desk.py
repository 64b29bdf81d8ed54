"""A desk: a session behind the risk gate, every step of it in an audit log.

What leaves a desk is on disk before it leaves. The log is also the desk's memory: a desk that is
opened on a log that has rows takes all of its bars again, with what the broker held and the moments
of then, and has to come to the decisions, the risk state and the orders that are written there, to
the bit. So a restart after a crash goes on where the last row ends, and a log can be audited with
the models alone (:func:`replay`).
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from offline_trader.codec import plain
from offline_trader.config import from_dict, to_dict
from offline_trader.errors import ConfigError, DataError, OfflineTraderError, RiskHalt
from offline_trader.markets import Bar, Bars
from offline_trader.serving.audit_log import AuditLog, Entry
from offline_trader.serving.decisions import Decision, Holdings
from offline_trader.serving.desk_rows import bar_of, bar_row, seconds_of
from offline_trader.serving.gated_session import GatedSession, Step
from offline_trader.serving.model_swap import Comparison
from offline_trader.serving.risk import RiskState, halted, rearmed, require_reason
from offline_trader.serving.risk_book import Book, Caps, Standing
from offline_trader.serving.risk_limits import RiskLimits, day_of
from offline_trader.serving.session import Session
from offline_trader.simulator import SimulatorConfig

if TYPE_CHECKING:
    from offline_trader.export import OnnxPolicy
    from offline_trader.features import FeatureSet

__all__ = ["Answer", "Desk", "models_named", "replay"]

OPENED, WARMED, DECIDED, REFUSED = "opened", "warmed up", "decided", "refused"
HALTED, REARMED, SWAPPED, SHADOWED = "halted", "re-armed", "swapped", "shadowed"
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
        limit_price: of the order; None: it is a market order, or none.
        state: of the risk gate.
        reasons: why it is not what the decision asks for.
        row: number of the log's row.
        model_sha256: of the one model that decided.
    """

    decision: Decision
    units: float
    limit_price: float | None
    state: RiskState
    reasons: tuple[str, ...]
    row: int
    model_sha256: str


class Desk:
    """Models on one instrument, one of them in force, with an account or a broker's.

    Args:
        models: the exported model; several, where the log says that they were swapped. Where the
            log is empty the first one decides.
        log: empty, or of the same models, rules and limits.
        limits: of the risk gate; by default those of the log, or the default ones.
        rules: the trading rules; by default those that the model states.
        features: as for :class:`Session`.
        bars_per_year: as for :class:`Session`.
        clock: the moment, seconds since 1970.
        book: limits over all desks together; None: there are none.

    Attributes:
        stated: model at first, layout, rules and limits, as the log's first row has them.
        recent: the last decisions, oldest first, those before a restart among them.
        decided_in_force: decisions of the model in force since it is, before a restart too.

    Raises:
        ConfigError: the log is of another model, other rules or other limits.
        DataError: the log is damaged, or what it says is not what the models decide.
    """

    def __init__(
        self,
        models: OnnxPolicy | Sequence[OnnxPolicy],
        log: AuditLog,
        limits: RiskLimits | None = None,
        *,
        rules: SimulatorConfig | None = None,
        features: FeatureSet | str | Sequence[str] | None = None,
        bars_per_year: float | None = None,
        clock: Callable[[], float] = time.time,
        book: Book | None = None,
    ) -> None:
        known = list(models) if isinstance(models, Sequence) else [models]
        self._known = {each.file.sha256: each for each in known}
        self.log, self._clock, self._book = log, clock, book
        number, chained = log.verify()
        log.follow(number, chained)
        opening = next(log.entries(OPENED), None)
        told = {} if opening is None else opening.content
        self.limits = limits or from_dict(RiskLimits, told.get("limits", {}))
        policy = self._known.get(str(told.get("model_sha256")), known[0])
        session = Session(
            policy,
            rules,
            features=features,
            bars_per_year=told.get("bars_per_year") if bars_per_year is None else bars_per_year,
        )
        self._gated = GatedSession(session, policy, self.limits)
        self.recent: deque[Decision] = deque(maxlen=_REMEMBERED)
        self.decided_in_force = 0
        self._closes = deque[tuple[float, float]](
            maxlen=0 if book is None else book.limits.correlation_bars + 1
        )
        self._standing: Standing | None = None
        self._broken = ""
        self.stated: dict[str, Any] = {
            "model_sha256": policy.file.sha256,
            "layout_hash": policy.layout.hash,
            "rules": to_dict(session.rules),
            "limits": to_dict(self.limits),
            "bars_per_year": bars_per_year,
        }
        if number == 0:
            self._write(OPENED, self.stated)
            return
        _require_same(log, told, self.stated, bars_per_year)
        for entry in log.entries():
            self._take_again(entry)
        if self._standing is not None:
            self._tell_book(self._standing)
            self.commit()

    @property
    def state(self) -> RiskState:
        """Of the risk gate."""
        return self._gated.state

    @property
    def broken(self) -> str:
        """Why nothing can be ordered until the desk is opened anew; empty: it can."""
        return self._broken

    @property
    def model(self) -> OnnxPolicy:
        """In force."""
        return self._gated.model

    @property
    def model_sha256(self) -> str:
        """Of the model in force."""
        return self.model.file.sha256

    @property
    def shadow_sha256(self) -> str:
        """Of the model that sees the bars and orders nothing; empty: none."""
        return self._gated.shadow_sha256

    @property
    def session(self) -> Session:
        """To look at; feed bars to the desk."""
        return self._gated.session

    def warm_up(self, bars: Bars | Iterable[Bar]) -> Desk:
        """Show the features past bars, which are logged. Returns the desk.

        Raises:
            ConfigError, DataError: as :meth:`Session.warm_up`; and the log cannot be written.
        """
        rows = list(bars)
        for first in range(0, len(rows), _BARS_A_ROW):
            part, before = rows[first : first + _BARS_A_ROW], self.session.bars_seen
            try:
                self.session.warm_up(part)
            finally:  # those before one that is refused have been seen
                seen = part[: self.session.bars_seen - before]
                if seen:
                    self._remember(seen)
                    self._write(WARMED, {"bars": [bar_row(bar) for bar in seen]})
        return self

    def on_bar(self, bar: Bar, *, holdings: Holdings | None = None) -> Answer:
        """The decision at the close of ``bar`` and what of it may be ordered; it is logged.

        Raises:
            DataError, ConfigError: as :meth:`Session.on_bar`; that is logged, and nothing ordered.
            RiskHalt: the log cannot be written, so nothing may be ordered until the desk is opened
                anew.
        """
        try:
            return self.decide(bar, holdings=holdings)
        finally:
            self.commit()

    def decide(self, bar: Bar, *, holdings: Holdings | None = None) -> Answer:
        """As :meth:`on_bar`; the row is on disk, and the order may leave, after :meth:`commit`.

        Whoever serves several desks of one store decides first and commits once for all.

        Raises:
            DataError, ConfigError, RiskHalt: as :meth:`on_bar`.
        """
        self._require_whole()
        now = self._clock()
        try:
            step = self._gated.on_bar(bar, holdings, now, self._ask_book)
        except RiskHalt:  # the book cannot be read
            raise
        except OfflineTraderError as error:
            self._stage(REFUSED, {"bar": bar_row(bar), "now": now, "why": error.found})
            raise
        self._remember([bar])
        if self._book is not None:
            self._tell_book(self._standing_after(step, bar))
        number = self._stage(DECIDED, step.row)
        self._took(step.decision)
        return Answer(
            step.decision,
            step.verdict.units,
            step.limit_price,
            self.state,
            step.verdict.reasons,
            number,
            self.model_sha256,
        )

    def halt(self, reason: str) -> RiskState:
        """The kill switch: no order until :meth:`rearm`."""
        self._gated.state = halted(self.state, reason)
        self._write(HALTED, {"reason": reason, "now": self._clock()})
        return self.state

    def rearm(self, reason: str) -> RiskState:
        """Back to NORMAL.

        Args:
            reason: who does it, and why.

        Raises:
            ConfigError: no reason.
        """
        after = rearmed(self.state, reason)
        self._write(REARMED, {"reason": reason, "now": self._clock()})
        self._gated.rearm(after)
        return after

    def record(self, kind: str, content: Mapping[str, Any]) -> int:
        """Number of the row of something about the desk that decides nothing, as an alert.

        Args:
            kind: ``alert`` or ``health``.
            content: a JSON object.

        Raises:
            RiskHalt: the log cannot be written, so nothing may be ordered.
        """
        if kind not in (ALERT, HEALTH):
            raise ValueError(f"a row of the kind {kind!r} would be taken again")
        self._require_whole()
        return self._write(kind, content)

    def swap(
        self, model: OnnxPolicy, reason: str, *, max_difference: float | None = None
    ) -> Comparison:
        """From the next bar on ``model`` decides; features, account and risk state go on.

        It is warmed and compared with the one in force on the observations decided on last.

        Args:
            model: of the same layout and trading rules.
            reason: who does it, and why.
            max_difference: largest |difference| of actions that is allowed; None: any.

        Raises:
            SchemaMismatch, ConfigError: another layout, other rules, no reason, or a difference
                beyond what is allowed.
            DataError: it answers no finite action on what was recorded.
            RiskHalt: the log cannot be written.
        """
        require_reason(reason, "to swap the model")
        found = self._gated.compare(model, max_difference)
        self._known[model.file.sha256] = model
        self._put(model, reason, found, back=False)
        return found

    def roll_back(self, reason: str) -> Comparison:
        """The model before the one in force decides again.

        Raises:
            ConfigError: there was none before, or no reason.
            RiskHalt: the log cannot be written.
        """
        require_reason(reason, "to roll back")
        if len(self._gated.models) < 2:
            raise ConfigError("no model was in force before", expected="a swap to take back")
        before = self._gated.models[-2]
        found = self._gated.compare(before)
        self._put(before, reason, found, back=True)
        return found

    def put_shadow(self, model: OnnxPolicy | None, reason: str) -> None:
        """``model`` sees what comes from now on and orders nothing; None: nobody does.

        Raises:
            SchemaMismatch, ConfigError: another layout, other rules, or no reason.
            RiskHalt: the log cannot be written.
        """
        require_reason(reason, "to put a model in the shadow")
        self._require_whole()
        self._gated.put_shadow(model)
        if model is not None:
            self._known[model.file.sha256] = model
        sha256 = None if model is None else model.file.sha256
        self._write(SHADOWED, {"model_sha256": sha256, "reason": reason, "now": self._clock()})

    def commit(self) -> None:
        """What was decided is on disk, here and at the other desks of the store.

        Raises:
            RiskHalt: the log cannot be written; nothing may be ordered until the desk is opened
                anew.
        """
        try:
            self.log.commit()
        except DataError as error:
            raise self.stop(error) from error

    def stop(self, error: DataError) -> RiskHalt:
        """The log cannot be written: no order until the desk is opened anew."""
        self._broken = f"the audit log cannot be written: {error.found}"
        self.session.amend(0.0)
        return RiskHalt(self._broken, expected=error.expected, hint=error.hint)

    def _require_whole(self) -> None:
        if self._broken:
            raise RiskHalt(self._broken, hint="open the desk anew on its log")

    def _put(self, model: OnnxPolicy, reason: str, found: Comparison, *, back: bool) -> None:
        self._require_whole()
        content = {
            "model_sha256": model.file.sha256,
            "instead_of": self.model_sha256,
            "back": back,
            "compared": found,
            "reason": reason,
            "now": self._clock(),
        }
        self._write(SWAPPED, content)
        self._in_force(model, back=back)

    def _in_force(self, model: OnnxPolicy, *, back: bool) -> None:
        self._gated.put(model, back=back)
        self.decided_in_force = 0

    def _took(self, decision: Decision) -> None:
        self.recent.append(decision)
        self.decided_in_force += 1

    def _remember(self, bars: Iterable[Bar]) -> None:
        if self._book is not None:
            self._closes.extend((seconds_of(bar), bar.close) for bar in bars)

    def _ask_book(self, equity: float, now: float) -> Caps | None:
        if self._book is None:
            return None
        try:
            day = day_of(self.limits, now) or ""
            return self._book.caps(self.log.desk, equity, day, tuple(self._closes))
        except DataError as error:
            raise self.stop(error) from error

    def _standing_after(self, step: Step, bar: Bar) -> Standing:
        """With the largest position that the order can lead to."""
        held, state = step.decision.portfolio, self.state
        largest = max(abs(held.units), abs(held.units + step.verdict.units)) * bar.close
        closes = tuple(self._closes)
        return Standing(largest, held.equity, state.day, state.orders_today, closes)

    def _tell_book(self, standing: Standing) -> None:
        assert self._book is not None
        try:
            self._book.record(self.log.desk, standing)
        except DataError as error:
            raise self.stop(error) from error

    def _stage(self, kind: str, content: Mapping[str, Any]) -> int:
        try:
            return self.log.stage(kind, content)
        except DataError as error:
            raise self.stop(error) from error

    def _write(self, kind: str, content: Mapping[str, Any]) -> int:
        number = self._stage(kind, content)
        self.commit()
        return number

    def _take_again(self, entry: Entry) -> None:
        """Do what a row says was done, and compare.

        Raises:
            DataError: it comes to something else, or the row is none of a desk's.
        """
        told, place = entry.content, f"{self.log.name} row {entry.number}"
        try:
            if entry.kind == WARMED:
                bars = [bar_of(row) for row in told["bars"]]
                self.session.warm_up(bars)
                self._remember(bars)
            elif entry.kind == HALTED:
                self._gated.state = halted(self.state, str(told["reason"]))
            elif entry.kind == REARMED:
                self._gated.rearm(rearmed(self.state, str(told["reason"])))
            elif entry.kind == DECIDED:
                self._decide_again(told, place)
            elif entry.kind == SWAPPED:
                model = self._named(told["model_sha256"], place)
                self._in_force(model, back=bool(told["back"]))
            elif entry.kind == SHADOWED:
                named = told["model_sha256"]
                self._gated.put_shadow(None if named is None else self._named(named, place))
            elif entry.kind not in (OPENED, REFUSED, ALERT, HEALTH):
                raise DataError(f"{place} is of the kind {entry.kind!r}", expected="a desk's log")
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise DataError(f"{place} cannot be read: {error}", expected="a desk's log") from error

    def _decide_again(self, told: Mapping[str, Any], place: str) -> None:
        bar, now = bar_of(told["bar"]), float(told["now"])
        holdings = None if told["holdings"] is None else Holdings(*told["holdings"])
        left = told.get("book")
        caps = None
        if left is not None:
            values = tuple((float(cap), str(name)) for cap, name in left["values"])
            caps = Caps(values, str(left["barred"]))
        step = self._gated.on_bar(bar, holdings, now, lambda *_: caps)
        self._took(step.decision)
        self._remember([bar])
        if self._book is not None:
            self._standing = self._standing_after(step, bar)
        found = plain(step.row)
        for key, value in told.items():
            if found.get(key) != value:
                raise DataError(
                    f"{place} says {key} {value!r}",
                    expected=f"{found.get(key)!r}, which the model decides on these bars",
                    hint="another model, version or machine wrote the log, or it was changed",
                )

    def _named(self, sha256: object, place: str) -> OnnxPolicy:
        model = self._known.get(str(sha256))
        if model is None:
            raise ConfigError(
                f"{place} names model {str(sha256)[:12]}, which is not given",
                expected="every model of the log",
                hint="name its file, too",
            )
        return model


def replay(models: OnnxPolicy | Sequence[OnnxPolicy], log: AuditLog, **settings: Any) -> int:
    """Number of decisions in a desk's log, after the model came to each of them again to the bit.

    Args:
        models: of the log; several, where they were swapped.
        log: of a desk; not written.
        settings: as for :class:`Desk`, where they were given.

    Raises:
        DataError: no rows, a broken chain, or the first row that differs.
        ConfigError: a log of another model.
    """
    if log.last[0] == 0:
        raise DataError(f"{log.name} has no rows", expected="the log of a desk")
    Desk(models, log, **settings)
    return sum(1 for _ in log.entries(DECIDED))


def models_named(log: AuditLog) -> set[str]:
    """SHA-256 of every model that the desk's log puts in force or in the shadow."""
    named = (each.content.get("model_sha256") for each in log.entries(OPENED, SWAPPED, SHADOWED))
    return {str(each) for each in named if each is not None}


def _require_same(
    log: AuditLog, told: Mapping[str, Any], stated: Mapping[str, Any], bars_per_year: float | None
) -> None:
    if not told:
        raise DataError(f"{log.name} does not begin with a desk", expected="the log of a desk")
    for key, value in stated.items():
        if key == "bars_per_year" and bars_per_year is None:
            continue
        if told.get(key) != plain(value):
            raise ConfigError(
                f"{log.name} is of {key} {told.get(key)!r}",
                expected=f"{plain(value)!r}",
                hint="begin a log of its own for another model, other rules or other limits",
            )
