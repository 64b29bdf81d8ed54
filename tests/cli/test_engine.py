"""Which engine trained: said where it is not the one asked for, and stated by the run."""

from __future__ import annotations

from pathlib import Path

import pytest

from offline_trader.cli.main import main
from offline_trader.runs import Run

COLLECT = [
    *("collect", "--market", "synthetic:ou", "--end", "2004-12-31", "--id", "small/experts-v0"),
    *("--transitions", "500", "--set", "env.episode_bars=100", "--set", "score_episodes=2", "-q"),
]
PRETRAIN = [
    *("pretrain", "--dataset", "small/experts-v0", "--validate-until", "2005-12-31"),
    *("--set", "clone.updates=4", "--set", "offline.critic_updates=2", "--set", "direct.updates=0"),
    *("--set", "offline.updates=4", "--set", "learner.batch_size=16"),
    *("--set", "learner.hidden=8,8", "--set", "validation.min_trades_per_1000=0"),
]


def test_the_engine_that_worked_is_told(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    root = ["--root", str(tmp_path / "data")]
    for words in (
        [*COLLECT, *root],
        [*PRETRAIN, *root, "--run", str(tmp_path / "cql")],
        [*PRETRAIN, *root, "--run", str(tmp_path / "td3"), "--algorithm", "td3_plus_bc"],
    ):
        with pytest.raises(SystemExit) as stop:
            main(words)
        said = capfd.readouterr()
        assert stop.value.code in (0, None), said.err
    assert Run.open(tmp_path / "cql").facts["engine"] == {"name": "fast", "reason": None}
    stated = Run.open(tmp_path / "td3").facts["engine"]
    assert stated == {"name": "stock", "reason": "algorithm TD3PlusBC"}
    assert "engine: stock" in said.out + said.err
    assert "TD3PlusBC" in said.out + said.err
