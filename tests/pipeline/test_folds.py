"""Which stage's policy a window of a walk-forward kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import pytest

from offline_trader.envs import EnvConfig
from offline_trader.pipeline.folds import _selection
from offline_trader.pipeline.run_facts import StageFacts, TrainingFacts
from offline_trader.pipeline.trained_runs import POLICY_FILE
from offline_trader.runs import Run

Kept = Literal["best", "warm_start"]


def finished(path: Path, **stages: Any) -> Path:
    """A run whose stages state what they kept."""
    env = EnvConfig()
    stated = TrainingFacts(
        dataset="a/b-v0",
        layout=env.layout,
        layout_hash=env.layout.hash,
        env=env,
        validation_env=env,
        experts=(),
        privileged=False,
        **stages,
    )
    with Run.create(path, {}, command="pretrain", seed=0) as run:
        (path / POLICY_FILE).write_bytes(b"")
        run.finish(**stated.to_dict())
    return path


def stage(kept: Kept) -> StageFacts:
    """What a stage of a validated training states."""
    return StageFacts(10, kept, 0, warm_score=0.1, kept_score=0.5, last_score=0.2)


@pytest.mark.parametrize(
    ("direct", "offline", "online", "kept"),
    [
        (None, "warm_start", None, "clone"),
        ("warm_start", "warm_start", None, "clone"),
        ("best", "warm_start", None, "direct"),
        ("best", "best", None, "offline"),
        ("best", "warm_start", "warm_start", "direct"),
        ("best", "warm_start", "best", "online"),
    ],
)
def test_the_last_stage_that_improved_the_policy_is_named(
    tmp_path: Path, direct: Kept | None, offline: Kept, online: Kept | None, kept: str
) -> None:
    before = {} if direct is None else {"direct": stage(direct)}
    trained = finished(tmp_path / "pretrain", **before, offline=stage(offline))
    if online is not None:
        trained = finished(tmp_path / "finetune", online=stage(online))
    expected = {"kept": kept, "validation_sharpe": 0.5}
    assert _selection(trained, tmp_path, warm=False) == expected
