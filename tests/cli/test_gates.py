"""``evaluate --gates``: exit code 4 on failure, own limits, the report's rows."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from offline_trader.cli.main import main
from offline_trader.evaluation.record import Evaluation

BRIEF = ["--set", "options.costs_bps=[]", "--set", "options.noise_draws=0"]


@pytest.fixture(autouse=True)
def in_a_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def _evaluate(*arguments: str) -> int:
    command = ["evaluate", "expert:technical", "--start", "2016-01-01", "--end", "2017-12-31"]
    with pytest.raises(SystemExit) as stop:
        main([*command, *BRIEF, *arguments])
    return int(stop.value.code or 0)


def test_a_failed_gate_exits_with_4_and_the_report_is_written(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert _evaluate("--gates", "default", "--json") == 4
    captured = capsys.readouterr()
    rows = {row["name"]: row for row in json.loads(captured.out)["gates"]}
    assert rows["trades_per_1000"]["verdict"] == "fail"
    assert rows["parity"]["verdict"] == "not evaluable"
    assert "gates failed" in captured.err
    folder = Path("runs/evaluation-technical")
    saved = Evaluation.load(folder / "evaluation.json")
    assert [gate.name for gate in saved.gates] == list(rows)
    assert "not evaluable" in (folder / "report.html").read_text()


def test_own_limits_let_it_pass(capsys: pytest.CaptureFixture[str]) -> None:
    names = [
        *("action_entropy", "largest_bin", "largest_side", "hold_share", "state_dependence"),
        *("trades_per_1000", "trades_per_episode", "voluntary_trade_rate", "action_diversity"),
        *("coverage", "sharpe", "win_rate", "profitable_regimes"),
    ]
    lines = [f"  {name}: {{enabled: false}}" for name in names]
    Path("mine.yaml").write_text("\n".join(["stage: 1", "gates:", *lines]) + "\n")
    assert _evaluate("--gates", "mine.yaml", "--quiet") == 0


def test_a_wrong_gates_file_is_told_before_anything_runs(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("mine.yaml").write_text("gates: {sharp: {threshold: 1}}\n")
    assert _evaluate("--gates", "mine.yaml") == 2
    assert "did you mean 'sharpe'" in capsys.readouterr().err
    assert not Path("runs").exists()


def test_without_the_option_nothing_is_gated() -> None:
    assert _evaluate("--quiet") == 0
    saved = Evaluation.load(Path("runs/evaluation-technical/evaluation.json"))
    assert saved.gates == ()
