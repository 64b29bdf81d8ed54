"""The audit log: what was seen, decided and let through, in rows whose hashes form a chain.

One SQLite file in WAL mode with full synchronisation: a row that :meth:`AuditLog.append` returned
is on disk, whatever happens next. Every row's hash covers its content and the hash of the row
before, so a row that is changed, taken out or put in later breaks the chain at its place. Rows cut
off at the end leave a chain that is whole but shorter: keep the last hash elsewhere to see that.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from offline_trader.codec import parse_json, to_json
from offline_trader.errors import DataError
from offline_trader.hashing import bytes_sha256

__all__ = ["AuditLog", "Entry"]

_FIRST = "0" * 64
_TABLE = """
CREATE TABLE IF NOT EXISTS log (
    number INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,
    content TEXT NOT NULL,
    hash TEXT NOT NULL
) STRICT;
CREATE TRIGGER IF NOT EXISTS no_update BEFORE UPDATE ON log
    BEGIN SELECT RAISE(ABORT, 'an audit log is only appended to'); END;
CREATE TRIGGER IF NOT EXISTS no_delete BEFORE DELETE ON log
    BEGIN SELECT RAISE(ABORT, 'an audit log is only appended to'); END;
"""


@dataclass(frozen=True)
class Entry:
    """One row.

    Attributes:
        number: from 1, without gaps.
        kind: what it is of.
        content: a JSON object.
        hash: SHA-256 (hex) of the hash before, number, kind and content.
    """

    number: int
    kind: str
    content: Mapping[str, Any]
    hash: str


class AuditLog:
    """The log in a file; several processes may append, each row after the last.

    Args:
        path: of the file; made where there is none.

    Raises:
        DataError: the file is no log, or cannot be opened or made.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        with self._told():
            self._store = sqlite3.connect(self.path, isolation_level=None, timeout=10.0)
            self._store.execute("PRAGMA journal_mode = WAL")
            self._store.execute("PRAGMA synchronous = FULL")
            self._store.executescript(_TABLE)

    def append(self, kind: str, content: Mapping[str, Any]) -> Entry:
        """The row, once it is on disk.

        Raises:
            DataError: it cannot be written (disk full, file gone, another writer that does not
                end); the log is as it was.
        """
        text = to_json(content, sort_keys=True)
        with self._told(), self._transaction():
            number, before = self._last()
            chained = _hash(before, number + 1, kind, text)
            self._store.execute(
                "INSERT INTO log VALUES (?, ?, ?, ?)", (number + 1, kind, text, chained)
            )
        return Entry(number + 1, kind, content, chained)

    @property
    def last(self) -> tuple[int, str]:
        """Number and hash of the last row; 0 and zeros where there is none."""
        with self._told():
            return self._last()

    def entries(self, *kinds: str) -> Iterator[Entry]:
        """The rows in order, of these kinds if any are named; hashes are not compared.

        Raises:
            DataError: the file cannot be read, or a row is no JSON object.
        """
        with self._told():
            rows = self._store.execute(
                "SELECT number, kind, content, hash FROM log ORDER BY number"
            )
            for number, kind, text, chained in rows:
                if not kinds or kind in kinds:
                    yield Entry(number, kind, self._content(number, text), chained)

    def verify(self) -> tuple[int, str]:
        """Number and hash of the last row, after the whole chain was recomputed.

        Raises:
            DataError: the first row that does not continue the chain.
        """
        expected, before = 0, _FIRST
        with self._told():
            rows = self._store.execute(
                "SELECT number, kind, content, hash FROM log ORDER BY number"
            )
            for number, kind, text, chained in rows:
                expected += 1
                found = _hash(before, number, kind, text)
                if number != expected or chained != found:
                    raise DataError(
                        f"{self.path} row {number} does not continue row {expected - 1}",
                        expected=f"row {expected} with hash {found[:16]}…, found {chained[:16]}…",
                        hint="a row was changed, taken out or put in; compare with a copy",
                    )
                before = chained
        return expected, before

    def close(self) -> None:
        """No more rows."""
        self._store.close()

    def _last(self) -> tuple[int, str]:
        query = "SELECT number, hash FROM log ORDER BY number DESC LIMIT 1"
        row = self._store.execute(query).fetchone()
        return (0, _FIRST) if row is None else (int(row[0]), str(row[1]))

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._store.execute("BEGIN IMMEDIATE")
        try:
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
        except (sqlite3.Error, OverflowError) as error:
            raise DataError(
                f"{self.path}: {error}",
                expected="an audit log that can be read and written",
                hint="look at the disk, the rights of the file and who else has it open",
            ) from error

    def _content(self, number: int, text: str) -> Mapping[str, Any]:
        try:
            found = parse_json(text)
        except ValueError as error:
            raise DataError(f"{self.path} row {number} is not JSON ({error})") from error
        if not isinstance(found, dict):
            raise DataError(f"{self.path} row {number} is no JSON object")
        return found


def _hash(before: str, number: int, kind: str, text: str) -> str:
    return bytes_sha256(f"{before}\n{number}\n{kind}\n{text}".encode())
