"""``offline-trader audit-log``: what it prints, and what it refuses."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from offline_trader.cli.main import main
from offline_trader.serving import AuditLog


def code_of(arguments: list[str]) -> int:
    with pytest.raises(SystemExit) as stop:
        main(["audit-log", *arguments])
    return int(stop.value.code or 0)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "desk.db"
    made = AuditLog(path)
    for i in range(3):
        made.append("note", {"i": i})
    made.close()
    return path


def test_a_whole_chain_is_verified_and_exported(
    log: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert code_of(["verify", str(log), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    (told,) = told["logs"]
    assert (told["rows"], told["hash"]) == AuditLog(log).last
    assert code_of(["export", str(log)]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [each["content"] for each in rows] == [{"i": 0}, {"i": 1}, {"i": 2}]
    assert rows[-1]["hash"] == told["hash"]


def test_no_log_and_a_changed_one_are_data_errors(
    log: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = log.with_name("missing.db")
    assert code_of(["verify", str(missing)]) == 3
    assert not missing.exists()
    with sqlite3.connect(log) as store:
        store.execute("DROP TRIGGER no_update")
        store.execute("UPDATE log SET content = '{}' WHERE number = 2")
    capsys.readouterr()
    for command in ("verify", "export"):
        assert code_of([command, str(log)]) == 3
        assert "row 2 does not continue row 1" in capsys.readouterr().err


def test_a_log_is_replayed_with_its_model_alone(
    log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert code_of(["replay", str(log), str(tmp_path / "none.onnx")]) == 3
    assert "none.onnx" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["verify", "export", "report"])
def test_a_file_of_something_else_is_refused_and_stays_as_it_is(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "runs.db"
    with closing(sqlite3.connect(other)) as made:
        made.execute("CREATE TABLE runs (name TEXT)")
    before = other.read_bytes()
    assert code_of([command, str(other)]) == 3
    assert "runs.db holds no audit logs" in capsys.readouterr().err
    assert other.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["runs.db"]


def test_looking_at_a_log_leaves_its_file_as_it_is(log: Path) -> None:
    before = log.read_bytes()
    for command in ("verify", "export"):
        assert code_of([command, str(log)]) == 0
    assert log.read_bytes() == before
