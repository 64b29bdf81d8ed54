"""A training reads the bars of its dataset from their own file: they have to be the same still."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from offline_trader.datasets import CollectConfig, collect
from offline_trader.envs import EnvConfig
from offline_trader.errors import DataError
from offline_trader.learning.settings import CloneConfig, DirectConfig, LearnerConfig
from offline_trader.pipeline.pretraining import check_inputs, pretrain
from offline_trader.pipeline.settings import PretrainConfig

DATASET = "own/walk-v0"


def write(file: Path, bars: int = 700, changed: int | None = None) -> None:
    """A random walk; the close of bar ``changed`` is a thousandth higher."""
    close = 100.0 * np.exp(np.cumsum(0.01 * np.random.default_rng(0).standard_normal(bars)))
    if changed is not None:
        close[changed] *= 1.001
    days = np.busday_offset(np.datetime64("2010-01-04", "D"), np.arange(bars))
    rows = [
        f"{day},{c:.6f},{c * 1.01:.6f},{c * 0.99:.6f},{c:.6f},1000"
        for day, c in zip(days, close, strict=True)
    ]
    file.write_text("\n".join(["date,open,high,low,close,volume", *rows]) + "\n")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    found = tmp_path / "walk.csv"
    write(found)
    env = EnvConfig(market=(str(found),), end="2012-06-29", episode_bars=50)
    collect(CollectConfig(DATASET, env, ("random",), 200, score_episodes=2), root=tmp_path)
    return found


def plan(**changed: Any) -> PretrainConfig:
    return PretrainConfig(dataset=DATASET, learner=LearnerConfig(hidden=(8, 8)), **changed)


def test_later_bars_may_be_added(file: Path, tmp_path: Path) -> None:
    write(file, bars=900)
    check_inputs(plan(), tmp_path)


@pytest.mark.parametrize(
    ("bars", "changed", "told"),
    [(700, 600, "with mean"), (500, None, "walk with 248 bars")],
)
def test_other_bars_are_refused_before_anything_is_trained(
    file: Path, tmp_path: Path, bars: int, changed: int | None, told: str
) -> None:
    write(file, bars, changed)
    with pytest.raises(DataError, match=f"walk.csv: .*{told}") as refused:
        pretrain(plan(), tmp_path / "run", root=tmp_path)
    assert DATASET in refused.value.expected
    assert not (tmp_path / "run").exists()


def test_bars_that_are_gone_are_missed_by_those_stages_alone_that_read_them(
    file: Path, tmp_path: Path
) -> None:
    file.unlink()
    for stages in (("clone", "direct"), ("clone", "offline"), ("auxiliary", "clone")):
        with pytest.raises(DataError, match="own/walk-v0, the bars that it was collected on"):
            check_inputs(plan(stages=stages), tmp_path)
    run = pretrain(
        plan(
            stages=("clone", "direct"),
            clone=CloneConfig(updates=4, holdout=0.0),
            direct=DirectConfig(updates=0),
        ),
        tmp_path / "run",
        root=tmp_path,
    )
    assert (run.path / "policy.d3").is_file()
