"""The evolution stage from the command line: among the stages of a line, and where the optimum is
known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from offline_trader.cli.main import main
from offline_trader.runs import Run

SMALL = [
    *("--set", "evolution.population=4", "--set", "evolution.windows=4"),
    *("--set", "evolution.bars=8", "--set", "learner.hidden=8,8"),
]


def code_of(words: list[str]) -> int:
    with pytest.raises(SystemExit) as stop:
        main(words)
    return stop.value.code if isinstance(stop.value.code, int) else 0


def test_it_stands_among_the_stages_of_a_pretraining(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = ["--root", str(tmp_path / "data")]
    collect = [
        *("collect", "--market", "synthetic:ou", "--end", "2004-12-31", "--id", "small/experts-v0"),
        *("--transitions", "1000", "--set", "env.episode_bars=200", "--set", "score_episodes=2"),
    ]
    assert code_of([*collect, *root, "-q"]) == 0
    pretrain = [
        *("pretrain", "--dataset", "small/experts-v0", "--stages", "bc,evolution"),
        *("--set", "clone.updates=20", "--set", "evolution.generations=6"),
        *("--set", "evolution.evaluate_interval=3", "--set", "evolution.log_interval=2"),
        *("--run", str(tmp_path / "run")),
    ]
    assert code_of([*pretrain, *SMALL, *root]) == 0
    run = Run.open(tmp_path / "run")
    assert run.facts["further"]["evolution"]["updates"] == 6
    assert [row["stage"] for row in run.facts["history"]] == ["clone", "evolution"]
    rows = [row["step"] for row in run.metrics() if "evolution/score" in row]
    assert rows == [22, 24, 26]
    assert "evolution: 6 updates; " in capsys.readouterr().out
    finetune = [
        *("finetune", str(tmp_path / "run"), "--agent", "evolution", "-q", *root),
        *("--set", "evolution_agent.generations=2", "--set", "evolution_agent.population=4"),
        *("--run", str(tmp_path / "tuned")),
    ]
    assert code_of([*finetune, "--workers", "2"]) == 0
    tuned = Run.open(tmp_path / "tuned")
    assert tuned.facts["further"]["evolution"]["updates"] == 2
    assert "online" not in tuned.facts
    assert [row["stage"] for row in tuned.facts["history"]] == ["clone", "evolution", "evolution"]
    for refused in (["--curriculum"], ["--steps", "500"]):
        assert code_of([*finetune, *refused]) == 2
        assert "agent=evolution" in capsys.readouterr().err
    hybrid = [
        *("finetune", str(tmp_path / "run"), "--agent", "hybrid", "-q", *root),
        *("--set", "online.steps=128", "--set", "online.warmup_steps=32"),
        *("--set", "online.critic_updates=2", "--set", "hybrid_agent.every=8"),
        *("--set", "learner.batch_size=32"),
        *("--set", "hybrid_agent.generations=2", "--set", "hybrid_agent.population=4"),
        *("--run", str(tmp_path / "both")),
    ]
    assert code_of([*hybrid, "--workers", "2"]) == 0
    both = Run.open(tmp_path / "both")
    turns = [row["online/evolution_turns"] for row in both.metrics() if "online/updates" in row]
    assert turns[-1] >= 1.0
    assert both.facts["online"]["updates"] > 8
    capsys.readouterr()
    idle = ["pretrain", "--dataset", "small/experts-v0", "--stages", "bc", "--workers", "2", *root]
    assert code_of([*idle, "--run", str(tmp_path / "idle")]) == 2
    assert "--workers 2 with one seed, and without the evolution stage" in capsys.readouterr().err
    assert not (tmp_path / "idle").exists()


def test_a_known_market_is_scored(capsys: pytest.CaptureFixture[str]) -> None:
    words = [
        *("known-optimum", "M3", "--train", "evolution", "--realised", "--json", "-q"),
        *("--set", "evolution.generations=3", "--set", "score_steps=50", *SMALL),
    ]
    assert code_of(words) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert found["subject"] == "evolution"
    assert len(found["scores"]) == 1


def test_settings_of_another_method_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["known-optimum", "M3", "--train", "evolution", "--set", "direct.updates=3"]
    assert code_of(words) == 2
    assert "direct.updates=3 changes nothing here" in capsys.readouterr().err
    assert (
        code_of(["known-optimum", "M3", "--train", "evolution", "--set", "evolution.population=7"])
        == 2
    )
    assert "population=7" in capsys.readouterr().err
