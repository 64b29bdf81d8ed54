"""SQLite's log is copied beside the commits, begins anew then, and loses no row where it is not."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

import pytest

from offline_trader.serving import AuditLog
from offline_trader.serving.store import SqliteStore
from offline_trader.serving.wal_copies import WalCopies

LONG = {"text": "x" * 100_000}
"""Of a row of 25 pages: forty of them are what SQLite copies by itself."""


def copies_of(log: AuditLog) -> WalCopies:
    """Of its store."""
    assert isinstance(log.store, SqliteStore)
    assert log.store._copies is not None
    return log.store._copies


def commits(log: AuditLog, count: int) -> None:
    """So many rows, one after the other."""
    for _ in range(count):
        log.stage("row", LONG)
        log.commit()
        under_way = copies_of(log)._under_way
        if under_way is not None:
            under_way.result()


def test_a_long_log_is_copied_by_another_thread_and_begins_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied: list[bool] = []
    copy = WalCopies._copy

    def noted(connection: sqlite3.Connection) -> None:
        copied.append(threading.current_thread() is threading.main_thread())
        copy(connection)

    monkeypatch.setattr(WalCopies, "_copy", staticmethod(noted))
    log = AuditLog(tmp_path / "audit.db")
    commits(log, 120)
    assert copied[:4] == [False, True, False, True]  # most of it, then the little that came since
    assert (tmp_path / "audit.db-wal").stat().st_size < 1_500 * 4_096
    assert (tmp_path / "audit.db").stat().st_size > 75 * 100_000
    assert log.verify()[0] == 120
    log.close()
    assert AuditLog(tmp_path / "audit.db").verify()[0] == 120


def test_what_cannot_be_copied_stays_in_the_log(tmp_path: Path) -> None:
    log = AuditLog(tmp_path / "audit.db")
    copies_of(log)._copier.close()
    commits(log, 60)
    assert log.verify()[0] == 60
    log.close()
    assert AuditLog(tmp_path / "audit.db").verify()[0] == 60
