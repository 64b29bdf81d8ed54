"""The leak detector from the command line: ours are clean, the oracle and a planted leak not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from offline_trader.cli.main import main


def _run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stop:
        main(["audit", *arguments])
    return int(stop.value.code or 0)


@pytest.mark.parametrize("subject", ["features", "expert:technical", "expert:donchian"])
def test_ours_do_not_leak(subject: str, capsys: pytest.CaptureFixture[str]) -> None:
    code = _run(subject, "--bars", "420", "--cuts", "2", "--json", "--quiet")
    result = json.loads(capsys.readouterr().out)
    assert code == 0
    assert result["clean"]
    assert result["comparisons"] > 10


def test_the_oracle_leaks(capsys: pytest.CaptureFixture[str]) -> None:
    assert _run("expert:oracle", "--bars", "420", "--cuts", "2", "--json", "--quiet") == 4
    result = json.loads(capsys.readouterr().out)
    assert {leak["output"] for leak in result["leaks"]} >= {"action"}


def test_a_file_of_ones_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "mine.py"
    path.write_text(
        "def fine(bars):\n    return bars['close'].pct_change()\n\n"
        "def leaky(bars):\n    return bars['close'].pct_change().shift(-1)\n"
    )
    assert _run(f"{path}:fine", "--cuts", "2") == 0
    assert _run(f"{path}:leaky", "--cuts", "2") == 4
    assert "reads the future" in capsys.readouterr().err
    assert _run(f"{path}:absent") == 2
    assert "fine, leaky" in capsys.readouterr().err
    assert _run("nothing") == 2
    assert _run("no.such.module:f") == 2
