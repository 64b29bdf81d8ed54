"""A desk: a session behind the risk gate, every step of it in an audit log.

What leaves a desk is on disk before it leaves. The log is also the desk's memory: a desk that is
opened on a log that has rows takes all of its bars again, with what the broker held and the moments
of then (:mod:`~offline_trader.serving.desk_memory`). So a restart after a crash goes on where the
last row ends, and a log can be audited with the models alone (:func:`replay`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from offline_trader.config import from_dict, to_dict
from offline_trader.errors import ConfigError, DataError, OfflineTraderError, RiskHalt
from offline_trader.markets import Bar, Bars
from offline_trader.serving.audit_log import AuditLog
from offline_trader.serving.decisions import Decision, Holdings, require_begun
from offline_trader.serving.desk_memory import DeskMemory, require_same
from offline_trader.serving.desk_rows import (
    ABOUT,
    DECIDED,
    HALTED,
    NOT_PUT,
    OPENED,
    REARMED,
    REFUSED,
    SHADOWED,
    SWAPPED,
    WARMED,
    bar_row,
    plain_bar,
    plain_holdings,
    refused_row,
)
from offline_trader.serving.desk_writer import DeskWriter
from offline_trader.serving.gated_session import GatedSession
from offline_trader.serving.model_swap import Comparison
from offline_trader.serving.risk import RiskState, State, halted, rearmed, require_reason
from offline_trader.serving.risk_book import Book, Caps, Standing
from offline_trader.serving.risk_limits import RiskLimits, day_of, hours_at
from offline_trader.serving.session import Session
from offline_trader.simulator import SimulatorConfig

if TYPE_CHECKING:
    from offline_trader.export import OnnxPolicy
    from offline_trader.features import FeatureSet

__all__ = ["Answer", "Desk", "replay"]

_BARS_A_ROW = 1_000


class Answer(NamedTuple):
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
        goal: as for :class:`Session`; by default that of the log.
        clock: the moment, seconds since 1970.
        book: limits over all desks together; None: there are none.

    Attributes:
        stated: model at first, layout, rules and limits, and the goal of a model that takes one,
            as the log's first row has them.

    Raises:
        ConfigError: the log is of another model, other rules, other limits or another goal.
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
        goal: float | None = None,
        clock: Callable[[], float] = time.time,
        book: Book | None = None,
    ) -> None:
        known = list(models) if isinstance(models, Sequence) else [models]
        by_hash = {each.file.sha256: each for each in known}
        self.log, self._clock, self._book = log, clock, book
        number, chained = log.verify()
        log.follow(number, chained)
        opening = next(log.entries(OPENED), None)
        told = {} if opening is None else opening.content
        self.limits = limits or from_dict(RiskLimits, told.get("limits", {}))
        policy = by_hash.get(str(told.get("model_sha256")), known[0])
        session = Session(
            policy,
            rules,
            features=features,
            bars_per_year=told.get("bars_per_year") if bars_per_year is None else bars_per_year,
            goal=told.get("goal") if goal is None else goal,
        )
        self._gated = GatedSession(session, policy, self.limits)
        closes = 0 if book is None else book.limits.correlation_bars + 1
        self._memory = DeskMemory(self._gated, by_hash, closes)
        self._rows = DeskWriter(log, lambda: session.amend(0.0))
        self.stated: dict[str, Any] = {
            "model_sha256": policy.file.sha256,
            "layout_hash": policy.layout.hash,
            "rules": to_dict(session.rules),
            "limits": to_dict(self.limits),
            "bars_per_year": bars_per_year,
        }
        if session.goal is not None:
            self.stated["goal"] = session.goal
        if number == 0:
            self._rows.write(OPENED, self.stated)
            return
        require_same(log, told, self.stated, bars_per_year)
        for entry in log.entries():
            self._memory.take_again(entry, f"{log.name} row {entry.number}")
        if self._memory.standing is not None:
            self._tell_book(self._memory.standing)
            self.commit()

    @property
    def recent(self) -> Sequence[Decision]:
        """The last decisions, oldest first, those before a restart among them."""
        return self._memory.recent

    @property
    def decided_in_force(self) -> int:
        """Decisions of the model in force since it is, before a restart too."""
        return self._memory.decided_in_force

    @property
    def state(self) -> RiskState:
        """Of the risk gate."""
        return self._gated.state

    @property
    def broken(self) -> str:
        """Why nothing can be ordered until the desk is opened anew; empty: it can."""
        return self._rows.broken

    @property
    def stopped(self) -> str:
        """Why nothing can be ordered until a person does something; empty: it can."""
        if self.broken or self.state.state is State.HALT:
            return self.broken or self.state.reason or str(State.HALT)
        if day_of(self.limits, self._clock()) is None:
            return (
                f"the calendar of {self.limits.calendar or self.limits.day_zone} does not reach "
                "this moment: look at the clock, or start anew with a newer exchange-calendars"
            )
        return ""

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
            ConfigError, DataError: as :meth:`Session.warm_up`; a bar that is more than a day
                ahead of the clock.
            RiskHalt: the log cannot be written, or could not be before.
        """
        self._rows.require_whole()
        rows = list(bars)
        for first in range(0, len(rows), _BARS_A_ROW):
            part, before = rows[first : first + _BARS_A_ROW], self.session.bars_seen
            shown: list[Bar] = []
            try:
                self.session.warm_up(_begun(part, self._clock(), shown))
            finally:  # those before one that is refused have been seen
                seen = shown[: self.session.bars_seen - before]
                if seen:
                    self._memory.saw(seen)
                    self._rows.write(WARMED, {"bars": [bar_row(bar) for bar in seen]})
        return self

    def on_bar(self, bar: Bar, *, holdings: Holdings | None = None) -> Answer:
        """The decision at the close of ``bar`` and what of it may be ordered; it is logged.

        Raises:
            DataError, ConfigError: as :meth:`Session.on_bar`, or a bar that is more than a day
                ahead of the clock; that is logged, and nothing ordered.
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
        self._rows.require_whole()
        now = self._clock()
        try:
            bar = plain_bar(bar)
            holdings = None if holdings is None else plain_holdings(holdings)
            require_begun(bar, now)
            hours = None if self.limits.calendar is None else hours_at(self.limits, now)
            step = self._gated.on_bar(bar, holdings, now, self._ask_book, hours)
        except RiskHalt:  # the book cannot be read
            raise
        except OfflineTraderError as error:
            self._rows.stage(REFUSED, {"bar": refused_row(bar), "now": now, "why": error.found})
            raise
        except Exception as error:  # a mistake of ours, after which the log is behind the account
            seen = f"a bar was seen that is not in it, its decision failed ({type(error).__name__})"
            self.stop(DataError(seen))
            raise
        self._memory.saw([bar])
        if self._book is not None:
            self._tell_book(self._memory.stands_after(step))
        number = self._rows.stage(DECIDED, step.row)  # made once it is written
        self._memory.took(step.decision)
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
        self._rows.write(HALTED, {"reason": reason, "now": self._clock()})
        return self.state

    def rearm(self, reason: str) -> RiskState:
        """Back to NORMAL.

        Args:
            reason: who does it, and why.

        Raises:
            ConfigError: no reason.
        """
        now = self._clock()
        after = rearmed(self.state, reason, now)
        self._rows.write(REARMED, {"reason": reason, "now": now})
        self._gated.rearm(after)
        return after

    def record(self, kind: str, content: Mapping[str, Any]) -> int:
        """Number of the row of something about the desk that decides nothing, as an alert.

        Args:
            kind: ``alert``, ``health``, ``loaded`` or ``model refused``.
            content: a JSON object.

        Raises:
            RiskHalt: the log cannot be written, so nothing may be ordered.
        """
        if kind not in ABOUT:
            raise ValueError(f"a row of the kind {kind!r} would be taken again")
        self._rows.require_whole()
        return self._rows.write(kind, content)

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
        with self.telling_refusals("swap", model.file.sha256, reason):
            require_reason(reason, "to swap the model")
            found = self._gated.compare(model, max_difference)
        self._memory.known[model.file.sha256] = model
        self._put(model, reason, found, back=False)
        return found

    def roll_back(self, reason: str) -> Comparison:
        """The model before the one in force decides again.

        Raises:
            ConfigError: there was none before, or no reason.
            RiskHalt: the log cannot be written.
        """
        before = None if len(self._gated.models) < 2 else self._gated.models[-2]
        named = None if before is None else before.file.sha256
        with self.telling_refusals("roll back", named, reason):
            require_reason(reason, "to roll back")
            if before is None:
                raise ConfigError("no model was in force before", expected="a swap to take back")
            found = self._gated.compare(before)
        self._put(before, reason, found, back=True)
        return found

    def put_shadow(self, model: OnnxPolicy | None, reason: str) -> None:
        """``model`` sees what comes from now on and orders nothing; None: nobody does.

        Raises:
            SchemaMismatch, ConfigError: another layout, other rules, or no reason.
            RiskHalt: the log cannot be written.
        """
        sha256 = None if model is None else model.file.sha256
        with self.telling_refusals("shadow", sha256, reason):
            require_reason(reason, "to put a model in the shadow")
            self._rows.require_whole()
            self._gated.put_shadow(model)
        if model is not None:
            self._memory.known[model.file.sha256] = model
        self._rows.write(SHADOWED, {"model_sha256": sha256, "reason": reason, "now": self._clock()})

    @contextmanager
    def telling_refusals(self, asked: str, sha256: str | None, reason: str) -> Iterator[None]:
        """What is refused inside is in the log before whoever asked hears of it.

        Args:
            asked: ``swap``, ``roll back`` or ``shadow``.
            sha256: of the model, or how it was named; None: none was.
            reason: who asked, and why.

        Raises:
            RiskHalt: the log cannot be written.
        """
        try:
            yield
        except RiskHalt:
            raise
        except OfflineTraderError as error:
            told = {"asked": asked, "model_sha256": sha256, "reason": reason, "why": error.found}
            self.record(NOT_PUT, {**told, "now": self._clock()})
            raise

    def commit(self) -> None:
        """What was decided is on disk, here and at the other desks of the store.

        Raises:
            RiskHalt: the log cannot be written; nothing may be ordered until the desk is opened
                anew.
        """
        self._rows.commit()

    def start_commit(self) -> None:
        """What was decided goes to the disk, and the next bar can be decided on meanwhile.

        Where the disk still has what was sent off before, it goes with the next call. Nothing of
        it may leave before :meth:`commit` returned, which waits for all of it.

        Raises:
            RiskHalt: as :meth:`commit`, of what was sent off before.
        """
        self._rows.start_commit()

    def stop(self, error: DataError) -> RiskHalt:
        """The log cannot be written: no order until the desk is opened anew."""
        return self._rows.stop(error)

    def _put(self, model: OnnxPolicy, reason: str, found: Comparison, *, back: bool) -> None:
        self._rows.require_whole()
        content = {
            "model_sha256": model.file.sha256,
            "instead_of": self.model_sha256,
            "back": back,
            "compared": found,
            "reason": reason,
            "now": self._clock(),
        }
        self._rows.write(SWAPPED, content)
        self._memory.put(model, back=back)

    def _ask_book(self, equity: float, now: float) -> Caps | None:
        if self._book is None:
            return None
        try:
            day = day_of(self.limits, now) or ""
            return self._book.caps(self.log.desk, equity, day, self._memory.closes)
        except DataError as error:
            raise self.stop(error) from error

    def _tell_book(self, standing: Standing) -> None:
        assert self._book is not None
        try:
            self._book.record(self.log.desk, standing)
        except DataError as error:
            raise self.stop(error) from error


def _begun(bars: Iterable[Bar], now: float, shown: list[Bar]) -> Iterator[Bar]:
    for bar in map(plain_bar, bars):
        require_begun(bar, now)
        shown.append(bar)
        yield bar


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
