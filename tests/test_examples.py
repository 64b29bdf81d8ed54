"""The examples do what they say."""

from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np
import pytest

from offline_trader.evaluation.backtest import backtest
from offline_trader.experts import get_expert
from offline_trader.features import compute_features
from offline_trader.markets import BarRange, load_market
from offline_trader.simulator import MarketTensor, SimulatorConfig

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"


def tail(n: int) -> MarketTensor:
    bars = load_market("sp500")
    part = BarRange(len(bars) - n, len(bars))
    return MarketTensor.from_bars([bars], [compute_features(bars)], [part])


@pytest.mark.parametrize("name", ["dips", "trend"])
def test_the_rules_trade(name: str) -> None:
    run = backtest(get_expert(f"{EXAMPLES / 'my_rules.py'}:{name}"), tail(1_000), SimulatorConfig())
    assert np.count_nonzero(run.traded) >= 5


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("train_with_stable_baselines3", "--steps 1024"),
        ("train_with_d3rlpy", "--steps 60 --transitions 2000"),
    ],
)
def test_libraries_train_here_and_are_judged(
    name: str,
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "datasets"))
    main = runpy.run_path(str(EXAMPLES / f"{name}.py"))["main"]
    report = main(words.split())
    assert report.evaluation.start.startswith("2015")
    assert report.path.is_file()
    shown = capsys.readouterr().out
    assert "Sharpe ratio" in shown or "COLLAPSED" in shown
