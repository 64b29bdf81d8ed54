"""What an audit log says, read as it grows: the state of a desk and its last decisions.

The log is opened for reading alone, so a page may look at the log of a desk that decides. Rows are
read from where the last reading ended.
"""

from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import Mapping
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from offline_trader.codec import parse_json
from offline_trader.errors import DataError
from offline_trader.monitoring.usage import limits_used
from offline_trader.serving import open_store
from offline_trader.serving.places import is_database
from offline_trader.serving.store import reader

if TYPE_CHECKING:
    from offline_trader.serving.store import Store

__all__ = ["Book", "find_books"]

POINTS = 600
"""Decisions that a page shows."""
_EVENTS = 60
_PATIENCE_S = 1.0
_READ = 2_000
_DECIDED_ALREADY = "repeated bar"
_LONG = ("warmed up",)
"""Kinds whose content says nothing here."""


class Book:
    """A desk as its log tells it.

    Args:
        place: of the store: a file, or ``postgresql://…``.
        desk: whose log it is in the store.

    Attributes:
        instrument: the desk, or the file's name.
        row: number of the last row that was read.

    Raises:
        DataError: the file is no log, or cannot be read.
    """

    def __init__(self, place: Path | str, desk: str = "") -> None:
        self.place, self.desk, self.row = place, desk, 0
        self.instrument = desk or Path(place).stem
        self._store: sqlite3.Connection | None = None
        self._database: Store | None = None
        self._head: dict[str, Any] = {
            "state": "NORMAL",
            "reason": "",
            "decisions": 0,
            "orders": 0,
            "refused": 0,
            "refusal": "",
            "firing": {},
            "limits": [],
            "limits_stated": {},
            "model": "",
            "shadow": "",
            "rules": {},
            "health": None,
            "last": None,
        }
        self._points: deque[dict[str, Any]] = deque(maxlen=POINTS)
        self._events: deque[dict[str, Any]] = deque(maxlen=_EVENTS)

    @property
    def name(self) -> str:
        """Of the log, in messages; no password in it."""
        shown = "the database" if is_database(self.place) else str(self.place)
        return f"{shown} ({self.desk})" if self.desk else shown

    def read_on(self) -> bool:
        """Whether there was something new; reads a part of what there is.

        Raises:
            DataError: as the class does.
        """
        before = self.row
        for number, kind, text in self._rows():
            content = {} if text is None else self._content(number, text)
            self._take(number, kind, content)
            self.row = number
        return self.row > before

    @property
    def head(self) -> Mapping[str, Any]:
        """Where the desk stands, alerts and events, without the course of decisions."""
        return {"instrument": self.instrument, "row": self.row, **self._head} | {
            "firing": list(self._head["firing"].values()),
            "events": list(self._events),
        }

    def points_after(self, row: int) -> list[dict[str, Any]]:
        """The decisions after a row of the log, oldest first, :data:`POINTS` at most."""
        return [each for each in self._points if each["row"] > row]

    def close(self) -> None:
        """Read no more."""
        for opened in (self._store, self._database):
            if opened is not None:
                opened.close()
        self._store = self._database = None

    def _rows(self) -> list[tuple[int, str, str | None]]:
        if is_database(self.place):
            return self._rows_of_database(str(self.place))
        try:
            if self._store is None:
                self._store = reader(Path(self.place), _PATIENCE_S)
            marks = ", ".join("?" * len(_LONG))
            return self._store.execute(
                f"SELECT number, kind, CASE WHEN kind IN ({marks}) THEN NULL ELSE content END "
                "FROM log WHERE desk = ? AND number > ? ORDER BY number LIMIT ?",
                (*_LONG, self.desk, self.row, _READ),
            ).fetchall()
        except sqlite3.Error as error:
            self.close()
            raise DataError(
                f"{self.place}: {error}", expected="an audit log that can be read"
            ) from error

    def _rows_of_database(self, url: str) -> list[tuple[int, str, str | None]]:
        try:
            if self._database is None:
                self._database = open_store(url, reading=True)
            found = islice(self._database.rows(self.desk, self.row), _READ)
            return [(row.number, row.kind, row.content) for row in found]
        except DataError:
            self.close()
            raise

    def _content(self, number: int, text: str) -> Mapping[str, Any]:
        try:
            found = parse_json(text)
        except ValueError as error:
            raise DataError(f"{self.name} row {number} is not JSON ({error})") from error
        if not isinstance(found, dict):
            raise DataError(f"{self.name} row {number} is no JSON object")
        return found

    def _take(self, number: int, kind: str, told: Mapping[str, Any]) -> None:
        try:
            if kind == "decided":
                self._decided(number, told)
            elif kind == "alert":
                self._alert(number, told)
            elif kind == "health":
                self._head["health"] = told
            elif kind == "refused":
                self._head["refused"] += 1
                self._head["refusal"] = str(told.get("why", ""))
                self._event(number, told, "refused", str(told.get("why", "")))
            elif kind in ("halted", "re-armed"):
                state = "HALT" if kind == "halted" else "NORMAL"
                reason = str(told["reason"])
                self._head |= {"state": state, "reason": reason if kind == "halted" else ""}
                self._event(number, told, kind, reason)
            elif kind == "swapped":
                self._head["model"] = str(told["model_sha256"])
                words = f"model {self._head['model'][:12]}: {told['reason']}"
                self._event(number, told, "rolled back" if told["back"] else "swapped", words)
            elif kind == "shadowed":
                self._head["shadow"] = str(told["model_sha256"] or "")
                words = f"model {self._head['shadow'][:12] or 'none'}: {told['reason']}"
                self._event(number, told, "in the shadow", words)
            elif kind == "loaded":
                words = f"model {str(told['model_sha256'])[:12]}: {told['file']}"
                self._event(number, told, "loaded", words)
            elif kind == "model refused":
                words = f"model {str(told['model_sha256'] or 'unknown')[:12]}: {told['why']}"
                self._event(number, told, f"{told['asked']} refused", words, "warning")
            elif kind == "opened":
                self._head["model"] = str(told["model_sha256"])
                self._head["rules"], self._head["limits_stated"] = told["rules"], told["limits"]
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise DataError(
                f"{self.name} row {number} cannot be read: {error!r}", expected="a desk's log"
            ) from error

    def _decided(self, number: int, told: Mapping[str, Any]) -> None:
        if told["hold"] == _DECIDED_ALREADY:
            return
        risk, p = told["risk"], told["portfolio"]
        if risk["state"] != self._head["state"]:
            self._event(number, told, risk["state"], risk["reason"])
        close, equity = float(told["bar"][4]), float(p["equity"])
        point = {
            "row": number,
            "time": _seconds(told["bar"][0]),
            "close": close,
            "equity": equity,
            "units": float(p["units"]),
            "exposure": float(p["units"]) * close / equity if equity > 0.0 else 0.0,
            "action": told["action"],
            "ordered": float(told["units"]),
            "asked": float(told["asked"]),
            "why": "; ".join([*told["reasons"], *([told["because"]] if told["because"] else [])]),
        }
        self._points.append(point)
        self._head["decisions"] += 1
        self._head["orders"] += point["ordered"] != 0.0
        limits = limits_used(self._head["limits_stated"], point, told)
        self._head |= {
            "state": str(risk["state"]),
            "reason": str(risk["reason"]),
            "last": {"now": told["now"], "costs": p.get("costs"), "cash": p["cash"], **point},
            "day_equity": risk["day_equity"],
            "limits": limits,
        }

    def _alert(self, number: int, told: Mapping[str, Any]) -> None:
        alert, event = str(told["alert"]), str(told["event"])
        if event == "raised":
            self._head["firing"][alert] = {
                "alert": alert,
                "severity": str(told["severity"]),
                "text": str(told["text"]),
                "now": told["now"],
            }
        elif event == "cleared":
            self._head["firing"].pop(alert, None)
        words = f"{event}: {told['text']}" if "text" in told else f"{event} by {told['channel']}"
        if told.get("reason"):
            words += f" ({told['reason']})"
        self._event(number, told, alert, words, str(told.get("severity", "info")))

    def _event(
        self, number: int, told: Mapping[str, Any], what: str, words: str, tone: str = "info"
    ) -> None:
        self._events.append(
            {"row": number, "now": told.get("now"), "what": what, "words": words, "tone": tone}
        )


def find_books(store: Path | str) -> list[Book]:
    """The logs in a store, or in every store of a folder (``*.db``), by name.

    Raises:
        DataError: nothing there.
    """
    if is_database(store):
        opened = open_store(store, reading=True)
        try:
            names = opened.desks()
        finally:
            opened.close()
        found = [Book(store, name) for name in names]
    else:
        place = Path(store)
        files = [place] if place.is_file() else sorted(place.glob("*.db")) if place.is_dir() else []
        found = [book for file in files for book in _books_in(file)]
    if not found:
        raise DataError(
            f"no audit log at {'the database' if is_database(store) else store}",
            expected="the log of a desk, or a folder of them (--logs of `offline-trader serve`)",
        )
    return found


def _books_in(file: Path) -> list[Book]:
    """One for each desk; of a file that cannot be read one, which says so when it is read."""
    try:
        with closing(reader(file, _PATIENCE_S)) as store:
            names = [name for (name,) in store.execute("SELECT DISTINCT desk FROM log")]
    except sqlite3.Error:
        names = []
    return [Book(file, name) for name in names or [""]]


def _seconds(moment: str) -> float:
    return float(np.datetime64(moment, "ms").astype(np.int64)) / 1e3
