"""What evaluate says on the terminal beside its tables."""

from __future__ import annotations

from pathlib import Path

import pytest

from offline_trader.cli.main import main
from offline_trader.evaluation.judging import Evaluation

RANGE = ["--market", "sp500", "--start", "2016-01-01", "--end", "2017-12-31"]


@pytest.fixture(autouse=True)
def in_a_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_luck_and_robustness_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["evaluate", "expert:ma_cross", *RANGE, "--quiet", "--set", "options.costs_bps=[0,9]"])
    assert not stop.value.code
    shown = capsys.readouterr().out
    saved = Evaluation.load(
        Path("runs/evaluation-ma_cross-sp500-from-2016-01-01-to-2017-12-31/evaluation.json")
    )
    psr, dsr = saved.statistics["psr"], saved.statistics["dsr"]
    assert psr is not None
    assert dsr is not None
    assert f"PSR {100 * psr:.1f} %; DSR {100 * dsr:.1f} %; MinTRL" in shown
    assert f"SPA p-value {saved.spa_p_value:.3f} against buy-and-hold" in shown
    found = saved.robustness
    assert found is not None
    assert found.delay is not None
    assert f"break-even cost {found.break_even_note}; Sharpe ratio with late orders" in shown
    low, high = (
        f"{each:.3f}"
        for each in (min(n or 0.0 for n in found.noise), max(n or 0.0 for n in found.noise))
    )
    assert f"on noisy prices {low} to {high}" in shown
    assert f"{100 * (saved.oracle[0].value or 0.0):.1f} % of perfect foresight" in shown


def test_a_dry_run_reads_the_dates(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["evaluate", "expert:technical", "--start", "1/5/2015", "--dry-run"])
    assert stop.value.code == 2
    assert "'1/5/2015' cannot be read" in capsys.readouterr().err
