"""Opens what a place names: a store of logs, and the book of the desks that write there."""

from __future__ import annotations

from pathlib import Path

from offline_trader.serving.postgres_store import PostgresStore, SharedBook
from offline_trader.serving.risk_book import Book, BookLimits, LocalBook
from offline_trader.serving.store import SqliteStore, Store

__all__ = ["LOGS_FILE", "is_database", "open_book", "open_store"]

LOGS_FILE = "audit.db"
"""Name of a server's store in its folder of logs."""


def is_database(place: Path | str) -> bool:
    """Whether a place is a PostgreSQL database, and not a file."""
    return str(place).startswith(("postgresql://", "postgres://"))


def open_store(place: Path | str, *, reading: bool = False) -> Store:
    """The store at ``place``: a file, made where there is none, or ``postgresql://…``.

    Args:
        reading: nothing is made or written there.

    Raises:
        DataError: it cannot be opened or made.
        ConfigError: PostgreSQL without its driver.
    """
    if is_database(place):
        return PostgresStore(str(place), reading=reading)
    return SqliteStore(place, reading=reading)


def open_book(store: Store, limits: BookLimits) -> Book | None:
    """The book of a store's desks, shared where the store is; None: there are no limits."""
    if not limits.any:
        return None
    return SharedBook(store, limits) if isinstance(store, PostgresStore) else LocalBook(limits)
