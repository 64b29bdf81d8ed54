"""IMPALA from the command line: a run goes on in actors of its own, and says what they did."""

from __future__ import annotations

from pathlib import Path

import pytest

from offline_trader.cli.main import main
from offline_trader.runs import Run


def code_of(words: list[str]) -> int:
    with pytest.raises(SystemExit) as stop:
        main(words)
    return stop.value.code if isinstance(stop.value.code, int) else 0


def test_it_goes_on_from_a_run_and_is_exported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = ["--root", str(tmp_path / "data")]
    collect = [
        *("collect", "--market", "synthetic:ou", "--end", "2004-12-31", "--id", "small/experts-v0"),
        *("--transitions", "1000", "--set", "env.episode_bars=200", "--set", "score_episodes=2"),
    ]
    assert code_of([*collect, *root, "-q"]) == 0
    pretrain = [
        *("pretrain", "--dataset", "small/experts-v0", "--stages", "bc", "-q", *root),
        *("--set", "clone.updates=20", "--set", "learner.hidden=8,8"),
        *("--run", str(tmp_path / "run")),
    ]
    assert code_of(pretrain) == 0
    finetune = [
        *("finetune", str(tmp_path / "run"), *root, "--run", str(tmp_path / "tuned")),
        *("--agent", "impala", "--steps", "600", "--set", "impala.lanes=4"),
        *("--set", "impala.rollout=25", "--set", "impala.log_interval=200"),
    ]
    assert code_of(finetune) == 0
    tuned = Run.open(tmp_path / "tuned")
    facts = tuned.facts["further"]["impala"]
    assert (facts["updates"], facts["steps"], facts["actors"]) == (6, 600, 1)
    assert [row["stage"] for row in tuned.facts["history"]] == ["clone", "impala"]
    rows = [row for row in tuned.metrics() if "impala/policy_lag" in row]
    assert [row["step"] for row in rows] == [200, 400, 600]
    export = ["export", str(tmp_path / "tuned"), "-q", "--force"]
    assert code_of(export) == 0
    assert (tmp_path / "tuned" / "export" / "policy.onnx").is_file()
    capsys.readouterr()
    assert code_of([*finetune, "--curriculum"]) == 2
    assert "agent=impala" in capsys.readouterr().err
    sac = ["finetune", str(tmp_path / "run"), *root, "--workers", "2", "--run", "unused"]
    assert code_of(sac) == 2
    told = capsys.readouterr().err
    assert "--workers 2 with agent=sac" in told
    assert "agent=impala, evolution or hybrid, or 1" in told
