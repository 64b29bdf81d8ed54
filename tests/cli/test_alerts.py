"""``offline-trader alerts``: the rules in force, and channels that are tried out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from offline_trader.cli.main import main


def code_of(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stop:
        main(["alerts", *arguments])
    return int(stop.value.code or 0)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "alerts.yaml"
    path.write_text(
        f"channels: [{{name: file, file: {tmp_path / 'alerts.jsonl'}}}]\n"
        "alerts: {drawdown: {above: 0.1, clear: 0.05}, silence: {enabled: false}}\n"
    )
    return path


def test_the_rules_in_force_are_shown(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert code_of("rules", str(file), "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["alerts"]["drawdown"]["above"] == 0.1
    assert "silence" not in told["alerts"]
    assert "collapse" in told["alerts"]
    assert code_of("rules") == 0
    assert "drawdown" in capsys.readouterr().out


def test_a_channel_is_tried_out(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert code_of("try", str(file)) == 0
    assert "delivered" in capsys.readouterr().out
    (line,) = (file.parent / "alerts.jsonl").read_text().splitlines()
    assert json.loads(line)["event"] == "test"


def test_a_channel_that_fails_is_named(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (file.parent / "alerts.jsonl").symlink_to(file.parent / "gone" / "alerts.jsonl")
    assert code_of("try", str(file)) == 3
    assert "nothing was delivered by file" in capsys.readouterr().err
    (file.parent / "alerts.jsonl").unlink()
    (file.parent / "alerts.jsonl").mkdir()
    assert code_of("try", str(file)) == 2
    assert "alerts.jsonl is a folder" in capsys.readouterr().err
    file.write_text("channels: []")
    assert code_of("try", str(file)) == 2
    assert "names no channels" in capsys.readouterr().err
