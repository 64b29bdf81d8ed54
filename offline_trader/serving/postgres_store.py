"""A store and a book in PostgreSQL, for several servers at once.

One transaction holds what a server decides together: the first question to the book takes a lock
that all servers of the database take, and the rows, with where the desks stand now, release it when
they are on disk. So two servers never go by the same room for an order.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from offline_trader.codec import parse_json, to_json
from offline_trader.errors import ConfigError, DataError
from offline_trader.serving.risk_book import BookLimits, Caps, Closes, Standing, caps_for
from offline_trader.serving.store import Appended, Row

__all__ = ["PostgresStore", "SharedBook"]

_TABLES = """
CREATE TABLE IF NOT EXISTS log (
    desk TEXT NOT NULL,
    number BIGINT NOT NULL,
    kind TEXT NOT NULL,
    content TEXT NOT NULL,
    hash TEXT NOT NULL,
    PRIMARY KEY (desk, number)
);
CREATE TABLE IF NOT EXISTS book (desk TEXT PRIMARY KEY, standing TEXT NOT NULL);
CREATE OR REPLACE FUNCTION only_appended() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'an audit log is only appended to'; END $$;
CREATE OR REPLACE TRIGGER only_appended BEFORE UPDATE OR DELETE ON log
    FOR EACH ROW EXECUTE FUNCTION only_appended();
"""
_INSERT = "INSERT INTO log VALUES (%s, %s, %s, %s, %s)"
_PAGE = 1_000
_BOOK_LOCK, _TABLES_LOCK = 7_017_001, 7_017_002
_PATIENCE = "5s"


class PostgresStore:
    """Logs in a PostgreSQL database.

    Args:
        url: ``postgresql://USER@HOST/DATABASE``; a password is better in ``~/.pgpass``.
        reading: nothing is made or written, so a user who may only read will do.

    Raises:
        ConfigError: psycopg is not installed.
        DataError: the database cannot be reached, has other tables of these names, or has none
            and is only read.
    """

    def __init__(self, url: str, *, reading: bool = False) -> None:
        try:
            import psycopg
        except ImportError as error:
            raise ConfigError(
                "psycopg is not installed",
                expected="the environment of requirements-serve.lock, or the extra `serve`",
                hint="pip install 'offline-trader[serve]'",
            ) from error
        self._psycopg = psycopg
        self.place = "postgresql"
        with self._told():
            known = psycopg.conninfo.conninfo_to_dict(url)
            self.place = f"postgresql://{known.get('host', '')}/{known.get('dbname', '')}"
            self._connection = psycopg.connect(url, connect_timeout=10, autocommit=True)
            self._connection.execute(f"SET lock_timeout = '{_PATIENCE}'")
            try:
                self._begin(reading)
            except BaseException:
                self._connection.close()
                raise

    def _begin(self, reading: bool) -> None:
        if not reading:
            with self._connection.transaction():
                self._lock(_TABLES_LOCK)
                self._connection.execute(_TABLES)
            return
        self._connection.execute("SET default_transaction_read_only = on")
        found = self._connection.execute("SELECT to_regclass('log')").fetchone()
        if found is None or found[0] is None:
            raise DataError(
                f"{self.place} holds no audit logs",
                expected="the database of an `offline-trader serve --store`",
            )

    @property
    def begun(self) -> bool:
        """The book is held."""
        status: int = self._connection.info.transaction_status
        return status != self._psycopg.pq.TransactionStatus.IDLE

    def write(self, rows: Sequence[Row]) -> None:
        """All rows, on disk, or none; and the lock of the book is released."""
        with self._told(), self._transaction():
            if rows:
                with self._connection.cursor() as cursor:
                    cursor.executemany(_INSERT, rows)

    def start(self, rows: Sequence[Row]) -> None:
        """At once: a transaction holds the book as well, which the next decision asks."""
        self.write(rows)

    def append(self, desk: str, make: Appended) -> Row:
        """The next row, whoever wrote the last one."""
        with self._told(), self._transaction():
            self._connection.execute(
                "SELECT pg_advisory_xact_lock(hashtextextended(%s, 1))", (desk,)
            )
            row = make(*self._last(desk))
            self._connection.execute(_INSERT, row)
        return row

    def last(self, desk: str) -> tuple[int, str]:
        """Number and hash of a log's last row."""
        with self._told():
            return self._last(desk)

    def rows(self, desk: str, after: int = 0) -> Iterator[Row]:
        """A log's rows in order."""
        query = "SELECT * FROM log WHERE desk = %s AND number > %s ORDER BY number LIMIT %s"
        while True:
            with self._told():
                page = self._connection.execute(query, (desk, after, _PAGE)).fetchall()
            yield from map(Row._make, page)
            if len(page) < _PAGE:
                return
            after = int(page[-1][1])

    def desks(self) -> list[str]:
        """Names of the logs."""
        with self._told():
            found = self._connection.execute("SELECT DISTINCT desk FROM log ORDER BY desk")
            return [str(name) for (name,) in found.fetchall()]

    @contextmanager
    def held(self, desk: str) -> Iterator[None]:
        """Nobody else has this log inside the block; the lock ends with the connection."""
        with self._told():
            asked = "SELECT pg_try_advisory_lock(hashtextextended(%s, 0))"
            found = self._connection.execute(asked, (desk,)).fetchone()
        if found is None or not found[0]:
            raise ConfigError(
                f"the log of {desk} in {self.place} is in use by another process",
                expected="one process at a time",
                hint="wait until it has ended",
            )
        try:
            yield
        finally:  # closing the connection releases it, too
            with suppress(self._psycopg.Error):
                self._connection.execute(
                    "SELECT pg_advisory_unlock(hashtextextended(%s, 0))", (desk,)
                )

    def close(self) -> None:
        """No more rows."""
        self._connection.close()

    def standings(self) -> dict[str, Standing]:
        """Where every desk stands; nobody else can change it until :meth:`write`.

        Raises:
            DataError: the database cannot be read, or another server holds the book for long.
        """
        with self._told():
            if not self.begun:
                self._connection.execute("BEGIN")
            self._lock(_BOOK_LOCK)
            found = self._connection.execute("SELECT desk, standing FROM book").fetchall()
            return {str(desk): _standing(text) for desk, text in found}

    def put_standing(self, desk: str, standing: Standing) -> None:
        """Where a desk stands, from the next :meth:`write` on.

        Raises:
            DataError: the database cannot be written.
        """
        put = (
            "INSERT INTO book VALUES (%s, %s) "
            "ON CONFLICT (desk) DO UPDATE SET standing = excluded.standing"
        )
        with self._told():
            self._connection.execute(put, (desk, to_json(standing)))

    def _lock(self, number: int) -> None:
        self._connection.execute("SELECT pg_advisory_xact_lock(%s)", (number,))

    def _last(self, desk: str) -> tuple[int, str]:
        query = "SELECT number, hash FROM log WHERE desk = %s ORDER BY number DESC LIMIT 1"
        row = self._connection.execute(query, (desk,)).fetchone()
        return (0, "") if row is None else (int(row[0]), str(row[1]))

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """That of the book, or a new one; it ends with the block, one way or the other."""
        try:
            if not self.begun:
                self._connection.execute("BEGIN")
            yield
            self._connection.commit()
        except BaseException:
            if not self._connection.closed:
                self._connection.rollback()
            raise

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except self._psycopg.errors.UniqueViolation as error:
            raise DataError(
                f"somebody else writes to a log in {self.place}", expected="one desk a log"
            ) from error
        except self._psycopg.Error as error:
            raise DataError(
                f"{self.place}: {str(error).strip().splitlines()[0] if str(error) else error!r}",
                expected="a PostgreSQL database that can be read and written",
                hint="look whether it runs, and at the rights of the user",
            ) from error


class SharedBook:
    """The book of all servers of a database.

    Args:
        limits: the same at each of them.
    """

    def __init__(self, store: PostgresStore, limits: BookLimits) -> None:
        self.limits, self._store = limits, store

    def caps(self, desk: str, equity: float, day: str, closes: Closes) -> Caps:
        """What ``desk`` may still do."""
        standings = self._store.standings()
        own = standings.pop(desk, Standing())._replace(equity=equity, closes=closes)
        return caps_for(self.limits, own, standings.values(), day)

    def record(self, desk: str, standing: Standing) -> None:
        """Where ``desk`` stands now."""
        self._store.put_standing(desk, standing)


def _standing(text: Any) -> Standing:
    try:
        value, equity, day, orders, closes = parse_json(str(text))
        known = tuple((float(time), float(close)) for time, close in closes)
        return Standing(float(value), float(equity), str(day), int(orders), known)
    except (TypeError, ValueError) as error:
        raise DataError(
            "the table `book` has a row that is none", expected="one of ours"
        ) from error
