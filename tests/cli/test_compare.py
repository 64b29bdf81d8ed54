"""Two results side by side from the command line, made by judge from files of somebody else's."""

from __future__ import annotations

import json
from pathlib import Path

import empyrical
import numpy as np
import pandas as pd
import pytest
from arch.data import frenchdata

from offline_trader.cli.main import main

DAYS = pd.bdate_range("2015-01-02", periods=300)


def _run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stop:
        main([*arguments])
    return int(stop.value.code or 0)


@pytest.fixture
def judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with two judged results, a and b."""
    monkeypatch.chdir(tmp_path)
    for seed, name in enumerate("ab"):
        values = np.random.default_rng(seed).normal(0.0005, 0.01, len(DAYS))
        pd.DataFrame({"date": DAYS, "returns": values}).to_csv(f"{name}.csv", index=False)
        assert _run("judge", f"{name}.csv", "--quiet") == 0
    return tmp_path


def test_the_difference_is_printed_with_its_interval(
    judged: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert _run("compare", "runs/judge-a", "runs/judge-b") == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "Sharpe ratio of b.csv minus a.csv:" in shown
    assert "Sharpe ratio a bar, not annualised" in shown
    assert "Maximum drawdown" in shown
    assert not {"sharpe", "max_drawdown", "min_track_record_years"} & set(shown.split())
    assert "over 300 bars" in shown
    assert "note:" not in shown
    assert (judged / "runs" / "comparison.html").stat().st_size > 10_000
    assert _run("compare", "runs/judge-a", "runs/judge-b", "--json") == 0
    (difference,) = json.loads(capsys.readouterr().out)["differences"]
    assert f"{difference['value']:+.2f}, 95 % interval" in shown


def test_judging_again_counts_once(judged: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert _run("judge", "a.csv", "--json", "--quiet", "--seed", "4", "--overwrite") == 0
    assert json.loads(capsys.readouterr().out)["trials"] == 2
    assert _run("judge", "a.csv", "--quiet", "--overwrite") == 0
    shown = capsys.readouterr().out
    assert "the actions are not known; 2 trials counted (of the whole project)" in shown


def test_research_data_in_per_cent_by_month(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The factors of Fama and French as the arch package ships them, and one column of numbers."""
    monkeypatch.chdir(tmp_path)
    file = Path(frenchdata.__file__).parent / "frenchdata.csv.gz"
    monthly = pd.read_csv(file)["Mkt-RF"] / 100.0
    command = ["judge", str(file), "--kind", "returns", "--column", "Mkt-RF"]
    assert _run(*command, "--percent", "--json", "--quiet") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["periods_per_year"] == 12.0
    assert found["n_bars"] == len(monthly)
    sharpe = empyrical.sharpe_ratio(monthly, annualization=12)
    assert found["measures"]["sharpe"] == pytest.approx(sharpe, rel=1e-10)
    assert _run(*command, "--overwrite") == 3
    assert "--percent" in capsys.readouterr().err
    years = pd.DataFrame({"date": DAYS[:3], "2015": [0.01, 0.02, 0.03]})
    years.to_csv("years.csv", index=False)
    assert _run("judge", "years.csv", "--kind", "returns", "--column", "2015", "--quiet") == 0


def test_what_cannot_be_compared_is_told(judged: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run("compare", "runs/judge-a", "elsewhere") == 3
    assert "elsewhere holds no evaluation.json" in capsys.readouterr().err
    assert _run("compare", "runs/judge-a") == 2
    assert "two or more" in capsys.readouterr().err
