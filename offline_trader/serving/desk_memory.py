"""What a desk's log comes to: models, account, gate, and what the book has to know of them.

All of it follows from the rows alone, so a desk that is opened on a log takes its rows again, and
has to come to the decisions, the risk state and the orders that are written there, to the bit.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from offline_trader.codec import plain
from offline_trader.config import to_dict
from offline_trader.errors import ConfigError, DataError
from offline_trader.markets import Bar
from offline_trader.serving.account import Hold
from offline_trader.serving.audit_log import AuditLog, Entry
from offline_trader.serving.decisions import Decision, Holdings
from offline_trader.serving.desk_rows import (
    ABOUT,
    DECIDED,
    HALTED,
    OPENED,
    REARMED,
    REFUSED,
    SHADOWED,
    SWAPPED,
    WARMED,
    bar_of,
    seconds_of,
)
from offline_trader.serving.gated_session import GatedSession, Step
from offline_trader.serving.risk import halted, rearmed
from offline_trader.serving.risk_book import Caps, Standing
from offline_trader.serving.risk_limits import Hours, RiskLimits
from offline_trader.simulator import SimulatorConfig

if TYPE_CHECKING:
    from offline_trader.export import OnnxPolicy

__all__ = ["DeskMemory", "require_same"]

_REMEMBERED = 1_000
_WORDS = frozenset({"because", "reasons", "reason"})
"""Keys whose text explains what the others decided; a later version may say it otherwise."""
_OF_ITS_OWN = (
    "a log keeps its model, rules, limits and goal: start with the same ones, or begin another log "
    "(`serve --logs`)"
)
_HINTS = {
    "model_sha256": "name the file of the model that the log began with, too; another model is put "
    "in force by a swap, or in a log of its own (`serve --logs`)"
}


class DeskMemory:
    """The memory of one desk.

    Args:
        gated: session and gate.
        known: models by their SHA-256.
        closes: last closes that the book asks for; 0: there is no book.

    Attributes:
        gated, known: as given.
        recent: the last decisions, oldest first.
        decided_in_force: decisions of the model in force since it is.
        standing: what the book has to know after the last decision; None: there was none.
    """

    def __init__(self, gated: GatedSession, known: dict[str, OnnxPolicy], closes: int) -> None:
        self.gated, self.known = gated, known
        self.recent: deque[Decision] = deque(maxlen=_REMEMBERED)
        self.decided_in_force = 0
        self.standing: Standing | None = None
        self._closes = deque[tuple[float, float]](maxlen=closes)

    @property
    def closes(self) -> tuple[tuple[float, float], ...]:
        """(seconds since 1970, close) of the last bars, oldest first."""
        return tuple(self._closes)

    def saw(self, bars: Iterable[Bar]) -> None:
        """Bars that the session took; the last one once more is none."""
        if not self._closes.maxlen:
            return
        for bar in bars:
            close = seconds_of(bar), bar.close
            if not self._closes or self._closes[-1] != close:
                self._closes.append(close)

    def took(self, decision: Decision) -> None:
        """A decision that is in the log."""
        self.recent.append(decision)
        self.decided_in_force += 1

    def put(self, model: OnnxPolicy, *, back: bool) -> None:
        """``model`` decides from now on; ``back``: it is the one before."""
        self.gated.put(model, back=back)
        self.decided_in_force = 0

    def stands_after(self, step: Step) -> Standing:
        """With the largest position that the order can lead to: after a bar that came again the
        one before it is still out."""
        held, state, before = step.decision.portfolio, self.gated.state, self.standing
        largest = max(abs(held.units), abs(held.units + step.verdict.units)) * step.bar.close
        if step.decision.hold is Hold.REPEATED and before is not None:
            largest = before.value
        self.standing = Standing(largest, held.equity, state.day, state.orders_today, self.closes)
        return self.standing

    def take_again(self, entry: Entry, place: str) -> None:
        """Do what a row says was done, and compare.

        Args:
            entry: the row.
            place: its name.

        Raises:
            DataError: it comes to something else, or the row is none of a desk's.
            ConfigError: it names a model that is not known.
        """
        told = entry.content
        try:
            if entry.kind == WARMED:
                bars = [bar_of(row) for row in told["bars"]]
                self.gated.session.warm_up(bars)
                self.saw(bars)
            elif entry.kind == HALTED:
                self.gated.state = halted(self.gated.state, str(told["reason"]))
            elif entry.kind == REARMED:
                now = float(told["now"])
                self.gated.rearm(rearmed(self.gated.state, str(told["reason"]), now))
            elif entry.kind == DECIDED:
                self._decide_again(told, place)
            elif entry.kind == SWAPPED:
                self.put(self._named(told["model_sha256"], place), back=bool(told["back"]))
            elif entry.kind == SHADOWED:
                named = told["model_sha256"]
                self.gated.put_shadow(None if named is None else self._named(named, place))
            elif entry.kind not in ABOUT | {OPENED, REFUSED}:
                raise DataError(f"{place} is of the kind {entry.kind!r}", expected="a desk's log")
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise DataError(f"{place} cannot be read: {error}", expected="a desk's log") from error

    def _decide_again(self, told: Mapping[str, Any], place: str) -> None:
        bar, now = bar_of(told["bar"]), float(told["now"])
        holdings = None if told["holdings"] is None else Holdings(*told["holdings"])
        left = told.get("book")
        caps = None if left is None else _caps(left)
        hours = Hours(*told["hours"]) if "hours" in told else None
        step = self.gated.on_bar(bar, holdings, now, lambda *_: caps, hours)
        self.took(step.decision)
        self.saw([bar])
        if self._closes.maxlen:
            self.stands_after(step)
        found = _decided(plain(step.row()))
        for key, value in _decided(told).items():
            if found.get(key) != value:
                raise DataError(
                    f"{place} says {key} {value!r}",
                    expected=f"{found.get(key)!r}, which the model decides on these bars",
                    hint="another model, version or machine wrote the log, or it was changed",
                )

    def _named(self, sha256: object, place: str) -> OnnxPolicy:
        model = self.known.get(str(sha256))
        if model is None:
            raise ConfigError(
                f"{place} names model {str(sha256)[:12]}, which is not given",
                expected="every model of the log",
                hint="name its file, too (`serve --models FOLDER`: put it there)",
            )
        return model


def _caps(told: Mapping[str, Any]) -> Caps:
    """What the book left then; a log of before does not say what was used of its limits."""
    values = tuple((float(cap), str(name)) for cap, name in told["values"])
    used = tuple((str(key), float(limit), float(held)) for key, limit, held in told.get("used", ()))
    return Caps(values, str(told["barred"]), used, float(told.get("total", 0.0)))


def _decided(told: Any) -> Any:
    """A row, or a part of it, without the words that explain it."""
    if not isinstance(told, Mapping):
        return told
    return {key: _decided(value) for key, value in told.items() if key not in _WORDS}


def require_same(
    log: AuditLog, told: Mapping[str, Any], stated: Mapping[str, Any], bars_per_year: float | None
) -> None:
    """Nothing if a log is of this desk.

    Args:
        log: that has rows.
        told: its first one; empty: that is none of a desk's.
        stated: what it should say.
        bars_per_year: None: whatever the log says.

    Raises:
        DataError: it does not begin with a desk.
        ConfigError: it is of another model, other rules, other limits or another goal.
    """
    if not told:
        raise DataError(f"{log.name} does not begin with a desk", expected="the log of a desk")
    for key, kind in (("limits", RiskLimits), ("rules", SimulatorConfig)):
        if isinstance(told.get(key), Mapping):  # an older log knows fewer, which are as by default
            told = {**told, key: plain(to_dict(kind())) | told[key]}
    for key, value in stated.items():
        if key == "bars_per_year" and bars_per_year is None:
            continue
        if key == "goal" and key not in told:  # an older log, of the default
            continue
        if told.get(key) != plain(value):
            before, now = _differing(told.get(key), plain(value))
            raise ConfigError(
                f"{log.name} is of {key} {before}", expected=now, hint=_HINTS.get(key, _OF_ITS_OWN)
            )


def _differing(before: object, now: object) -> tuple[str, str]:
    """Two values in words; of two objects what differs."""
    if not isinstance(before, Mapping) or not isinstance(now, Mapping):
        return repr(before), repr(now)
    keys = [key for key in {**before, **now} if before.get(key) != now.get(key)]

    def words(told: Mapping[Any, Any]) -> str:
        return ", ".join(f"{key}={told.get(key)!r}" for key in keys)

    return words(before), words(now)
