"""The audit log: a chain that shows every change, and rows that survive a kill."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from offline_trader.errors import DataError
from offline_trader.serving import AuditLog
from offline_trader.serving.store import Row, SqliteStore


@pytest.fixture
def log(tmp_path: Path) -> AuditLog:
    log = AuditLog(tmp_path / "audit.db")
    for i in range(5):
        log.append("bar", {"i": i, "x": 0.1 * i})
    return log


def test_rows_come_back_in_order_and_the_chain_holds(log: AuditLog) -> None:
    log.append("halt", {"reason": "why"})
    assert [each.content["i"] for each in log.entries("bar")] == list(range(5))
    assert [each.number for each in log.entries()] == [1, 2, 3, 4, 5, 6]
    assert log.verify() == log.last
    again = AuditLog(log.name)
    assert again.last == log.last
    assert list(again.entries()) == list(log.entries())


@pytest.mark.parametrize(
    ("change", "row"),
    [
        ("UPDATE log SET content = replace(content, '2', '3') WHERE number = 3", 3),
        ("UPDATE log SET kind = 'other' WHERE number = 1", 1),
        ("DELETE FROM log WHERE number = 2", 3),
        ("UPDATE log SET number = 9 WHERE number = 5", 9),
        ("UPDATE log SET hash = '00' WHERE number = 4", 4),
    ],
)
def test_every_change_breaks_the_chain_at_its_place(change: str, row: int, log: AuditLog) -> None:
    log.close()
    store = sqlite3.connect(log.name)
    with pytest.raises(sqlite3.DatabaseError, match="only appended to"):
        store.execute(change)
    for trigger in ("no_update", "no_delete"):
        store.execute(f"DROP TRIGGER {trigger}")
    store.execute(change)
    store.commit()
    store.close()
    with pytest.raises(DataError, match=rf"audit.db row {row} does not continue"):
        AuditLog(log.name).verify()


def test_what_was_staged_is_on_disk_once_the_log_is_closed(log: AuditLog) -> None:
    log.stage("bar", {"i": 5})
    log.commits.start()
    log.stage("bar", {"i": 6})
    log.close()
    log.close()
    assert AuditLog(log.name).verify()[0] == 7


def test_a_log_that_cannot_be_written_says_so_when_it_is_closed(log: AuditLog) -> None:
    log.stage("bar", {"i": 5})
    Path(log.name).unlink()
    with pytest.raises(DataError, match="taken away"):
        log.close()
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        log.commits.store._store.execute("SELECT 1")  # type: ignore[attr-defined]


def test_two_writers_make_one_chain(log: AuditLog) -> None:
    other = AuditLog(log.name)
    for i in range(10):
        (log, other)[i % 2].append("bar", {"i": i})
    assert other.verify()[0] == 15


@pytest.mark.parametrize("count", [3, 64, 65])
def test_a_batch_is_written_whole_or_not_at_all(count: int, log: AuditLog) -> None:
    """However many rows: few are one statement, more a transaction."""
    store, before = SqliteStore(Path(log.name)), log.last
    rows = [Row("", i, "bar", "{}", "") for i in range(6, 5 + count)]
    with pytest.raises(DataError, match="somebody else writes"):
        store.write([*rows, Row("", 1, "bar", "{}", "")])
    assert AuditLog(log.name).last == before
    store.write([*rows, Row("", 5 + count, "bar", "{}", "")])
    assert AuditLog(log.name).last[0] == 5 + count


def test_a_batch_waits_for_another_writer_beside_the_decisions(log: AuditLog) -> None:
    other = sqlite3.connect(log.name, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    log.stage("bar", {"i": 5})
    log.commits.start()  # would wait ten seconds for it, and then fail
    log.stage("bar", {"i": 6})
    other.execute("COMMIT")
    other.close()
    log.commit()
    assert log.verify()[0] == 7


def test_what_is_no_log_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "text.db"
    path.write_text("not a database, but long enough to be looked at" * 30)
    with pytest.raises(DataError, match=r"text\.db"):
        AuditLog(path)
    with pytest.raises(DataError, match="unable to open"):
        AuditLog(tmp_path / "none" / "audit.db")


WRITER = """
import sys
from offline_trader.serving import AuditLog
log = AuditLog(sys.argv[1])
while True:
    print(log.append("bar", {"x": 1.5}).number, flush=True)
"""


def test_acknowledged_rows_survive_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "audit.db"
    for attempt in range(4):
        command = [sys.executable, "-c", WRITER, str(path)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(0.05 + 0.03 * attempt)
        process.send_signal(signal.SIGKILL)
        lines = process.communicate()[0].splitlines(keepends=True)
        acknowledged = [int(line) for line in lines if line.endswith("\n")]
        number, _ = AuditLog(path).verify()
        assert number >= max(acknowledged, default=1)
