"""Where audit logs are kept: one store for all desks of a server, durable as a whole batch.

A store knows rows and nothing of what is in them. Rows are staged and then written together: one
transaction and one synchronisation for all that desks decided meanwhile (group commit). What
:meth:`Store.write` returned from is on disk.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache, partial
from itertools import chain
from pathlib import Path
from typing import NamedTuple, Protocol

from offline_trader.errors import DataError
from offline_trader.locks import locked

__all__ = ["Appended", "Row", "SqliteStore", "Store", "reader"]

_TABLE = """
CREATE TABLE IF NOT EXISTS log (
    desk TEXT NOT NULL,
    number INTEGER NOT NULL,
    kind TEXT NOT NULL,
    content TEXT NOT NULL,
    hash TEXT NOT NULL,
    PRIMARY KEY (desk, number)
) STRICT;
CREATE TRIGGER IF NOT EXISTS no_update BEFORE UPDATE ON log
    BEGIN SELECT RAISE(ABORT, 'an audit log is only appended to'); END;
CREATE TRIGGER IF NOT EXISTS no_delete BEFORE DELETE ON log
    BEGIN SELECT RAISE(ABORT, 'an audit log is only appended to'); END;
"""
_VALUES = "(?, ?, ?, ?, ?)"
_AT_ONCE = 64
"""Rows of one statement. It begins, inserts and commits without the interpreter, which statements
of one row each need back every time; its text is kept by the number of rows."""


class Row(NamedTuple):
    """A row as it is stored.

    Attributes:
        desk: whose log it is in.
        number: from 1 in each log, without gaps.
        kind: what it is of.
        content: JSON text.
        hash: that continues the chain of its log.
    """

    desk: str
    number: int
    kind: str
    content: str
    hash: str


class Store(Protocol):
    """Logs by the name of their desk.

    Every method raises DataError where the store cannot be read or written; the message names it.
    """

    place: str
    """As a person names it; no password in it."""

    @property
    def begun(self) -> bool:
        """A transaction waits for :meth:`write`, even without rows."""

    def write(self, rows: Sequence[Row]) -> None:
        """All rows, on disk, or none. A number that its log has already is an error."""

    def start(self, rows: Sequence[Row]) -> Callable[[], None] | None:
        """As :meth:`write`, but for the synchronisation, which the returned call waits for.

        It may be called in another thread. Until it has ended the store is not asked for anything.
        None: the rows are on disk already.
        """

    def append(self, desk: str, make: Appended) -> Row:
        """The row that ``make`` gives for number and hash of the last one (0 and "": none)."""

    def last(self, desk: str) -> tuple[int, str]:
        """Number and hash of a log's last row; 0 and "" where there is none."""

    def rows(self, desk: str, after: int = 0) -> Iterator[Row]:
        """A log's rows in order, those with numbers above ``after``."""

    def desks(self) -> list[str]:
        """Names of the logs, sorted."""

    def held(self, desk: str) -> AbstractContextManager[None]:
        """Nobody else writes to this log inside the block.

        Raises:
            ConfigError: another process holds it.
        """

    def close(self) -> None:
        """No more rows."""


class Appended(Protocol):
    """Makes a row from number and hash of the one before."""

    def __call__(self, number: int, before: str, /) -> Row:
        """The next row."""


class SqliteStore:
    """A SQLite file in WAL mode with full synchronisation.

    Args:
        reading: nothing is written, so a file that is no store stays what it is.

    Raises:
        DataError: the file is no store, or cannot be opened or made.
    """

    def __init__(self, path: Path | str, *, reading: bool = False) -> None:
        self.path = Path(path)
        self.place = str(path)
        with self._told():
            self._store = reader(self.path) if reading else _writer(self.path)
            try:
                if reading:
                    self._require_logs()
            except BaseException:
                self._store.close()
                raise
        self._file = _identity(self.path)

    @property
    def begun(self) -> bool:
        """Never: nothing is shared between processes but the file."""
        return False

    def write(self, rows: Sequence[Row]) -> None:
        """All rows, on disk, or none."""
        end = self.start(rows)
        if end is not None:
            end()

    def start(self, rows: Sequence[Row]) -> Callable[[], None] | None:
        """What writes the rows; it needs the interpreter for a moment only.

        So the other thread takes it from whoever decides once a batch.
        """
        if not rows:
            return None
        self._require_there()
        return partial(self._end, rows)

    def append(self, desk: str, make: Appended) -> Row:
        """The next row, whoever wrote the last one."""
        self._require_there()
        with self._told(), self._transaction():
            row = make(*self._last(desk))
            self._store.execute(_inserted(1), row)
        return row

    def last(self, desk: str) -> tuple[int, str]:
        """Number and hash of a log's last row."""
        with self._told():
            return self._last(desk)

    def rows(self, desk: str, after: int = 0) -> Iterator[Row]:
        """A log's rows in order."""
        query = "SELECT * FROM log WHERE desk = ? AND number > ? ORDER BY number"
        with self._told():
            yield from map(Row._make, self._store.execute(query, (desk, after)))

    def desks(self) -> list[str]:
        """Names of the logs."""
        with self._told():
            return [name for (name,) in self._store.execute("SELECT DISTINCT desk FROM log")]

    def held(self, desk: str) -> AbstractContextManager[None]:
        """Nobody else has this log inside the block."""
        place = self.path.with_name(f".{self.path.name}.{desk}.lock")
        return locked(place, f"the log of {desk} in {self.place}")

    def close(self) -> None:
        """No more rows."""
        self._store.close()

    def _require_logs(self) -> None:
        found = self._store.execute("SELECT 1 FROM sqlite_master WHERE name = 'log'").fetchone()
        if found is None:
            raise DataError(
                f"{self.place} holds no audit logs",
                expected="the audit.db of `offline-trader serve`, or a desk's log",
            )

    def _require_there(self) -> None:
        """SQLite goes on writing to a file that was taken away or replaced; nobody finds it."""
        if _identity(self.path) != self._file:
            raise DataError(
                f"{self.place} was taken away or replaced",
                expected="the file that was opened",
                hint="put it back and start again",
            )

    def _end(self, rows: Sequence[Row]) -> None:
        """All rows in one transaction: a statement is one by itself."""
        parts = [rows[i : i + _AT_ONCE] for i in range(0, len(rows), _AT_ONCE)]
        with self._told(), self._transaction() if len(parts) > 1 else nullcontext():
            for part in parts:
                self._store.execute(_inserted(len(part)), tuple(chain.from_iterable(part)))

    def _last(self, desk: str) -> tuple[int, str]:
        query = "SELECT number, hash FROM log WHERE desk = ? ORDER BY number DESC LIMIT 1"
        row = self._store.execute(query, (desk,)).fetchone()
        return (0, "") if row is None else (int(row[0]), str(row[1]))

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """What fails inside leaves nothing."""
        try:
            self._store.execute("BEGIN IMMEDIATE")
            yield
            self._store.execute("COMMIT")
        except BaseException:
            if self._store.in_transaction:
                self._store.execute("ROLLBACK")
            raise

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.IntegrityError as error:
            raise DataError(
                f"somebody else writes to a log in {self.place}", expected="one desk a log"
            ) from error
        except (sqlite3.Error, OverflowError) as error:
            raise DataError(
                f"{self.place}: {error}",
                expected="a store of audit logs that can be read and written",
                hint="look at the disk, the rights of the file and who else has it open",
            ) from error


@cache
def _inserted(rows: int) -> str:
    return "INSERT INTO log VALUES " + ", ".join([_VALUES] * rows)


def reader(file: Path, patience_s: float = 10.0) -> sqlite3.Connection:
    """A connection that writes nothing, beside whoever writes."""
    return sqlite3.connect(
        f"{file.resolve().as_uri()}?mode=ro",
        uri=True,
        isolation_level=None,
        timeout=patience_s,
        check_same_thread=False,
    )


def _writer(file: Path) -> sqlite3.Connection:
    made = sqlite3.connect(file, isolation_level=None, timeout=10.0, check_same_thread=False)
    made.execute("PRAGMA journal_mode = WAL")
    made.execute("PRAGMA synchronous = FULL")
    made.executescript(_TABLE)
    return made


def _identity(path: Path) -> tuple[int, int] | None:
    """Which file is there; None: none."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino
