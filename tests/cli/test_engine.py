"""Which engine trained: said where it is not the one asked for, and stated by run and model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from offline_trader.cli.main import main
from offline_trader.export import OnnxPolicy
from offline_trader.runs import Run

COLLECT = [
    *("collect", "--market", "synthetic:ou", "--end", "2004-12-31", "--id", "small/experts-v0"),
    *("--transitions", "500", "--set", "env.episode_bars=100", "--set", "score_episodes=2", "-q"),
    *("--set", "env.simulator.lot_size=1"),
]
PRETRAIN = [
    *("pretrain", "--dataset", "small/experts-v0", "--validate-until", "2005-12-31"),
    *("--set", "clone.updates=4", "--set", "offline.critic_updates=2", "--set", "direct.updates=0"),
    *("--set", "offline.updates=4", "--set", "learner.batch_size=16"),
    *("--set", "learner.hidden=8,8", "--set", "validation.min_trades_per_1000=0"),
]
DIRECT = ("--set", "direct.updates=2", "--set", "direct.windows=4", "--set", "direct.bars=4")
STOCK = "stock, for the fast one does not cover algorithm TD3PlusBC"
TORCH = "torch, for the fast one does not cover rules with lots"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """``--root FOLDER`` with a small dataset in it, made under rules with lots."""
    root = ["--root", str(tmp_path_factory.mktemp("data"))]
    assert code_of([*COLLECT, *root]) == 0
    return root


def code_of(words: list[str]) -> int:
    """Exit code of ``offline-trader WORDS``."""
    with pytest.raises(SystemExit) as stop:
        main(words)
    return stop.value.code if isinstance(stop.value.code, int) else 0


def test_the_fast_engine_says_nothing(
    data: list[str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert code_of([*PRETRAIN, *data, "--run", str(tmp_path / "cql")]) == 0
    said = capfd.readouterr()
    run = Run.open(tmp_path / "cql")
    assert run.facts["engine"] == {"name": "fast", "reason": None}
    assert not any("engine" in row for row in run.metrics())
    assert "engine:" not in said.out + said.err


def test_another_engine_is_told_by_terminal_run_metrics_model_and_manifest(
    data: list[str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "td3"
    words = [*PRETRAIN, *data, "--run", str(place), "--algorithm", "td3_plus_bc", *DIRECT]
    assert code_of(words) == 0
    said = "".join(capfd.readouterr()).replace("\n", " ")
    assert f"engine: {STOCK}" in said
    assert f"direct/engine: {TORCH}" in said
    run = Run.open(place)
    engine = {"name": "stock", "reason": "algorithm TD3PlusBC"}
    direct = {"name": "torch", "reason": "rules with lots"}
    assert (run.facts["engine"], run.facts["direct"]["engine"]) == (engine, direct)
    rows = run.metrics()
    assert rows[0] == {"step": 0, "engine": STOCK}
    assert {"step": 4, "direct/engine": TORCH} in rows
    model = tmp_path / "export" / "policy.onnx"
    assert code_of(["export", str(place), "--output", str(model), "--force"]) == 0
    stated = json.loads((model.parent / "manifest.json").read_text())["facts"]
    for each in (stated, OnnxPolicy(model).metadata):
        assert (each["engine"], each["direct_engine"]) == (engine, direct)
