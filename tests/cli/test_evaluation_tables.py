"""What evaluate says on the terminal beside its tables."""

from __future__ import annotations

from pathlib import Path

import pytest

from offline_trader.cli.main import main
from offline_trader.config import load_config
from offline_trader.errors import ConfigError
from offline_trader.evaluation.judging import Evaluation
from offline_trader.evaluation.report.charts import format_number
from offline_trader.evaluation.report.evidence import statistic_label
from offline_trader.evaluation.report.labels import LABELS, value_text
from offline_trader.pipeline.evaluating import EvaluateConfig, own_settings
from offline_trader.pipeline.strategies import FoundStrategy

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
    lines = [" ".join(line.split()) for line in shown.splitlines()]
    assert f"{statistic_label('psr')[0]} {format_number(psr, 'percent')}" in lines
    assert f"{statistic_label('dsr')[0]} {format_number(dsr, 'percent')}" in lines
    p_value = format_number(saved.spa_p_value, "p")
    assert f"p-value of Hansen's test (SPA) against buy-and-hold {p_value}" in lines
    found = saved.robustness
    assert found is not None
    assert found.delay is not None
    assert f"break-even cost {found.break_even_note}; Sharpe ratio, one bar later" in shown
    low, high = (
        value_text("sharpe", each)
        for each in (min(n or 0.0 for n in found.noise), max(n or 0.0 for n in found.noise))
    )
    assert f"bp of price noise {low} to {high}" in shown
    captured = format_number(saved.oracle[0].value, "percent")
    assert f"{captured} of perfect foresight's log growth" in shown


def test_terminal_and_report_use_the_same_words_and_units(
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ["evaluate", "expert:donchian", *RANGE, "-o", "found", "--set", "options.costs_bps=[]"]
    with pytest.raises(SystemExit):
        main([*words, "--set", "options.noise_draws=0", "--gates", "default"])
    shown = " ".join(capsys.readouterr().out.split())
    saved = Evaluation.load(Path("found/evaluation.json"))
    page = Path("found/report.html").read_text(encoding="utf-8")
    for name in ("total_return", "cagr", "sharpe", "max_drawdown", "volatility"):
        value = value_text(name, saved.measures[name])
        for place in (shown, page):
            assert LABELS[name].text in place
            assert value in place
    assert shown.startswith("sp500, 2016-01-04 to 2017-12-29,")
    for gate in saved.gates:
        assert gate.explained[:20] in page
        assert gate.unit


def test_no_market_is_fallen_back_to_in_silence(capsys: pytest.CaptureFixture[str]) -> None:
    """A rule belongs to no market, and that is said; a policy that states none is refused."""
    with pytest.raises(SystemExit) as stop:
        main(["evaluate", "expert:technical", "--start", "2016-01-01", "--dry-run"])
    assert not stop.value.code
    assert "no --market was given; judged on sp500" in capsys.readouterr().err
    stranger = FoundStrategy("stranger", lambda: pytest.fail("opened"))
    with pytest.raises(ConfigError, match="no market"):
        load_config(EvaluateConfig, base=own_settings([stranger])[0])
    named = load_config(EvaluateConfig, None, ["env.market=nasdaq"], own_settings([stranger])[0])
    assert named.env.market == ("nasdaq",)


def test_a_dry_run_reads_the_dates(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["evaluate", "expert:technical", "--start", "1/5/2015", "--dry-run"])
    assert stop.value.code == 2
    assert "'1/5/2015' cannot be read" in capsys.readouterr().err
