"""``evaluate --gates``: exit code 4 on failure, own limits, the report's rows."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from offline_trader.cli.console import Terminal
from offline_trader.cli.main import main
from offline_trader.envs import EnvConfig
from offline_trader.evaluation.gates import load_gates
from offline_trader.evaluation.judging import EvaluateOptions, Evaluation
from offline_trader.export import ManifestFacts, export_onnx, read_manifest, write_manifest
from offline_trader.features import (
    WARMUP_BARS,
    FeatureScaler,
    compute_features,
    observation_layout,
)
from offline_trader.markets import load_market
from offline_trader.pipeline.evaluating import EvaluateConfig, evaluate_strategy
from offline_trader.pipeline.strategies import FoundStrategy

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
    folder = Path("runs/evaluation-technical-sp500-from-2016-01-01-to-2017-12-31")
    saved = Evaluation.load(folder / "evaluation.json")
    assert [gate.name for gate in saved.gates] == list(rows)
    assert "not evaluable" in (folder / "report.html").read_text()


class _Actor(nn.Module):
    """tanh of the mean of all columns."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.tanh(x.mean(dim=1, keepdim=True))


def test_the_models_manifest_gets_every_gate(capsys: pytest.CaptureFixture[str]) -> None:
    values = compute_features(load_market("sp500", end="2012-12-31")).values
    scaler = FeatureScaler.fit(values[WARMUP_BARS:], observation_layout())
    model = Path("policy.onnx")
    export_onnx(_Actor(), scaler, observation_layout(), model)
    write_manifest(model, ManifestFacts("ab" * 32))
    command = ["evaluate", str(model), "--start", "2016-01-01", "--gates", "default", *BRIEF]
    with pytest.raises(SystemExit) as stop:
        main(command)
    assert stop.value.code == 2  # the model states no market, and none is guessed
    assert "names no market" in capsys.readouterr().err
    with pytest.raises(SystemExit) as stop:
        main([*command, "--market", "sp500"])
    assert stop.value.code == 4
    noted = read_manifest(model)["gates"]
    saved = Evaluation.load(
        next(Path("runs").glob("evaluation-*-sp500-from-2016-01-01/evaluation.json"))
    )
    assert [row["name"] for row in noted["evaluated"]] == [gate.name for gate in load_gates().gates]
    assert noted["evaluated"] == saved.to_dict()["gates"]
    assert "sharpe" in {name for names in noted["by_verdict"].values() for name in names}
    rows = {row.name: row for row in saved.gates}
    assert rows["latency"].n == 500
    assert rows["coverage"].n == saved.n_bars
    shown = capsys.readouterr().out
    assert "95 % interval" in shown
    assert "1 trial counted (on " in shown


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
    saved = Evaluation.load(
        Path("runs/evaluation-technical-sp500-from-2016-01-01-to-2017-12-31/evaluation.json")
    )
    assert saved.gates == ()


def test_a_policy_without_a_manifest_is_told_so(capsys: pytest.CaptureFixture[str]) -> None:
    strategy = FoundStrategy(
        "mine", lambda: lambda seen: np.zeros((len(seen), 1), dtype=np.float32)
    )
    plan = EvaluateConfig(
        EnvConfig(market=("sp500",), start="2016-01-01", end="2016-12-31"),
        EvaluateOptions(costs_bps=(), delay_bars=0, noise_draws=0, oracle=False, replicates=100),
    )
    found = evaluate_strategy(strategy, plan, Path("out"), Terminal(), load_gates())
    assert found.gates
    assert "no manifest takes the gates" in capsys.readouterr().err
