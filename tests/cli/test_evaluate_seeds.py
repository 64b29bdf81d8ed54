"""``evaluate`` of several seeds and with known-optimum scores: what it accepts, shows, refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from offline_trader.cli.main import main
from offline_trader.errors import ConfigError
from offline_trader.evaluation.judging import Evaluation
from offline_trader.experts import get_expert
from offline_trader.export import export_onnx
from offline_trader.features import FeatureScaler, observation_layout
from offline_trader.pipeline import seed_strategies
from offline_trader.pipeline.seed_strategies import find_strategies, seed_folders, validated_seed
from offline_trader.pipeline.strategies import FoundStrategy
from offline_trader.runs import Run
from offline_trader.simulator import SimulatorConfig

BRIEF = ["--start", "2016-01-01", "--end", "2017-06-30", "--quiet", "--set",
         "options.costs_bps=[]", "--set", "options.noise_draws=0", "--set",
         "options.delay_bars=0", "--set", "options.replicates=200"]  # fmt: skip


@pytest.fixture(autouse=True)
def in_a_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")  # so that no cell of a table is wrapped


def _run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stop:
        main(list(arguments))
    return int(stop.value.code or 0)


def _model(seed: int, folder: Path, **facts: Any) -> str:
    """An ONNX file of a linear policy, drawn with ``seed``."""
    layout = observation_layout()
    actor = torch.nn.Sequential(torch.nn.Linear(layout.size, 8), torch.nn.ReLU(),
                                torch.nn.Linear(8, 1), torch.nn.Tanh())  # fmt: skip
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for each in actor.parameters():
            each.copy_(torch.randn(each.shape, generator=generator))
    scaler = FeatureScaler.fit(np.tile([[-1.0], [1.0]], (1, len(layout.features))), layout)
    rules = vars(SimulatorConfig())
    known = {"seed": seed, "market": ["sp500"], "simulator": rules, "command": "pretrain", **facts}
    path = folder / f"model-{seed}.onnx"
    export_onnx(actor, scaler, layout, path, known)
    return str(path)


def test_seeds_and_known_optima_fill_their_sections(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    models = [_model(seed, tmp_path) for seed in (0, 1, 2)]
    assert _run("known-optimum", "M3", "--policy", "behaviour", "--run", "kept", "--json",
                "--set", "score_steps=200") == 0  # fmt: skip
    score = json.loads(capsys.readouterr().out)["scores"][0]["value"]
    assert _run("evaluate", *models, "--as-seeds", "--known-optimum", "kept", *BRIEF) == 0
    printed = capsys.readouterr().out
    assert "interquartile mean" in printed
    assert "behaviour on M3" in printed
    folder = tmp_path / "runs" / "evaluation-model-0-seeds-sp500-from-2016-01-01-to-2017-06-30"
    found = Evaluation.load(folder / "evaluation.json")
    *seeds, summary = found.seeds
    assert [row.name for row in seeds] == ["seed 0", "seed 1", "seed 2"]
    assert summary.summary
    middle = float(np.median(np.array([row.value for row in seeds], dtype=np.float64)))
    assert found.measures["sharpe"] == pytest.approx(middle)
    assert any("median Sharpe ratio" in note for note in found.notes)
    assert found.trials == 3
    (known,) = found.known_optimum
    assert (known.name, known.value) == ("behaviour on M3", score)
    page = (folder / "report.html").read_text()
    assert "seed 2" in page
    assert "behaviour on M3" in page
    assert found.collapse is not None
    assert found.collapse["hidden_units"] == 8


def test_scores_in_the_policys_own_run_are_found(tmp_path: Path) -> None:
    run = tmp_path / "runs" / "mine"
    (run / "export").mkdir(parents=True)
    Run.create(run / "made", {}, command="pretrain", seed=0)
    (run / "made" / "manifest.json").rename(run / "manifest.json")
    model = _model(3, run / "export")
    assert _run("known-optimum", "M1", "--policy", "behaviour", "--run", str(run), "--quiet",
                "--set", "score_steps=100") == 0  # fmt: skip
    assert _run("evaluate", model, *BRIEF) == 0
    found = Evaluation.load(
        Path("runs/evaluation-model-3-sp500-from-2016-01-01-to-2017-06-30/evaluation.json")
    )
    assert [row.name for row in found.known_optimum] == ["behaviour on M1"]


def test_a_method_is_scored_with_the_settings_of_its_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "runs" / "mine"
    learner = {"algorithm": "iql", "hidden": [16], "gamma": 0.9}
    Run.create(run, {"learner": learner}, command="pretrain", seed=0)
    assert _run("known-optimum", "M3-narrow", "--run", str(run), "--json", "--quiet", "--set",
                "offline.updates=20", "--set", "score_steps=50", "--seeds", "2") == 0  # fmt: skip
    payload = json.loads(capsys.readouterr().out)
    kept = json.loads(Path(payload["file"]).read_text())
    assert Path(payload["file"]).parent == run / "known_optimum"
    assert kept["subject"] == "iql"
    assert kept["seeds"] == [0, 1]
    assert kept["config"]["learner"]["hidden"] == [16]
    assert kept["config"]["learner"]["gamma"] == 0.9
    assert kept["summary"]["n"] == 2


def test_wrong_use_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    models = [_model(0, tmp_path), _model(1, tmp_path, market=["nasdaq"])]
    for arguments, message in (
        (models, "--as-seeds"),
        ([models[0], "--as-seeds"], "two or more runs"),
        ([*models, "--as-seeds"], "differ in market"),
        (["expert:technical", "expert:random", "--as-seeds"], "experts"),
        ([models[0], "--known-optimum", str(tmp_path / "none.json")], "is not there"),
        ([models[0], "--known-optimum", str(tmp_path)], "holds no result"),
    ):
        assert _run("evaluate", *arguments, *BRIEF) in (2, 3), arguments
        assert message in " ".join(capsys.readouterr().err.split()), arguments
    assert not Path("runs/trials.jsonl").exists()


def test_a_folder_of_seeds_stands_for_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in (10, 2):
        config = {"seed": seed, "learner": {"gamma": 0.99}}
        Run.create(tmp_path / "many" / f"seed-{seed}", config, command="pretrain", seed=seed)
    (tmp_path / "many" / "seed-notes").mkdir()
    assert [each.name for each in seed_folders(tmp_path / "many")] == ["seed-2", "seed-10"]
    strategy = get_expert("technical")
    monkeypatch.setattr(
        seed_strategies, "find_strategy", lambda path, **_: FoundStrategy(path, lambda: strategy)
    )
    found = find_strategies([str(tmp_path / "many")], as_seeds=False)
    assert [Path(each.name).name for each in found] == ["seed-2", "seed-10"]
    assert validated_seed([str(tmp_path / "many")]) is None
    (tmp_path / "many" / "seeds.json").write_text(
        json.dumps(
            {
                "status": "done",
                "config_hash": "",
                "seeds": [{"seed": 2, "run": "seed-2"}, {"seed": 10, "run": "seed-10"}],
                "best": {"seed": 10, "run": "seed-10", "kept_score": 0.5},
            }
        )
    )
    assert validated_seed([str(tmp_path / "many")]) == 10
    other = {"seed": 3, "learner": {"gamma": 0.9}}
    Run.create(tmp_path / "many" / "seed-3", other, command="pretrain", seed=3)
    with pytest.raises(ConfigError, match=r"differ in learner\.gamma: 0\.99 and 0\.9"):
        find_strategies([str(tmp_path / "many")], as_seeds=True)
