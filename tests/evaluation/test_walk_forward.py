"""Windows, purge, resumption and parallel equality of the walk-forward loop."""

from __future__ import annotations

import importlib
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from offline_trader.errors import ConfigError, DataError
from offline_trader.evaluation.walk_forward import (
    WindowConfig,
    make_folds,
    walk_forward,
)

SMALL = WindowConfig(train_bars=60, validation_bars=20, test_bars=25, purge_bars=3)


# Imported by a bare name, because new processes inherit sys.path and not pytest's import mode.
sys.path.insert(0, str(Path(__file__).parent))
MeanSignJob: Any = importlib.import_module("mean_sign_job").MeanSignJob
sys.path.pop(0)


@pytest.fixture(autouse=True)
def _importable_job(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))


@given(
    n_bars=st.integers(150, 1500),
    train=st.integers(10, 90),
    validation=st.integers(1, 30),
    test=st.integers(1, 40),
    purge=st.integers(0, 10),
    embargo=st.integers(0, 10),
    anchored=st.booleans(),
    first=st.integers(0, 20),
)
def test_folds_keep_the_future_out(
    n_bars: int,
    train: int,
    validation: int,
    test: int,
    purge: int,
    embargo: int,
    anchored: bool,
    first: int,
) -> None:
    config = WindowConfig(train, validation, test, anchored, purge, embargo)
    try:
        folds = make_folds(n_bars, config, first)
    except DataError:
        assert n_bars < first + train + embargo + validation + 2 * purge + test
        return
    for fold in folds:
        assert first <= fold.train.start < fold.train.stop
        assert fold.validation.start - fold.train.stop == purge + embargo
        assert fold.test.start - fold.validation.stop == purge
        assert fold.test.stop <= n_bars
        assert fold.train.start == first or not anchored
    for before, after in pairwise(folds):
        assert after.test.start == before.test.stop, "test ranges touch, never overlap"
    assert n_bars - folds[-1].test.stop < test, "no whole window is left out"


def test_retraining_every_k_windows() -> None:
    config = WindowConfig(60, 20, 25, retrain_every=3, warm_start=True)
    folds = make_folds(400, config)
    assert [f.trained_by for f in folds[:7]] == [0, 0, 0, 3, 3, 3, 6]
    assert [f.warm_from for f in folds[:7]] == [None, None, None, 0, 0, 0, 3]


@pytest.mark.parametrize("retrain_every", [1, 2])
def test_parallel_equals_serial(tmp_path: Path, retrain_every: int) -> None:
    config = WindowConfig(60, 20, 25, purge_bars=3, retrain_every=retrain_every)
    folds = make_folds(300, config)
    job = MeanSignJob(300)
    serial = walk_forward(folds, job, tmp_path / "a", periods_per_year=252, workers=1)
    parallel = walk_forward(folds, job, tmp_path / "b", periods_per_year=252, workers=2)
    assert serial == parallel


def test_warm_start_runs_in_order(tmp_path: Path) -> None:
    config = WindowConfig(60, 20, 25, warm_start=True)
    folds = make_folds(300, config)
    warm = walk_forward(folds, MeanSignJob(300), tmp_path, periods_per_year=252, workers=2)
    means = [r.facts["mean"] for r in warm.results]
    returns = np.random.default_rng(1).normal(0.0005, 0.01, 300)
    expected = 0.0
    for fold, mean in zip(folds, means, strict=True):
        expected = returns[fold.train.start : fold.train.stop].mean() + 0.1 * expected
        assert mean == pytest.approx(expected)


def test_resume_keeps_finished_folds_and_drops_those_of_other_settings(tmp_path: Path) -> None:
    folds = make_folds(300, SMALL)
    whole = walk_forward(folds, MeanSignJob(300), tmp_path, periods_per_year=252)
    (tmp_path / "fold-001" / "result.json").unlink()
    ran: list[int] = []
    before = (tmp_path / "fold-000" / "result.json").stat().st_mtime_ns
    again = walk_forward(
        folds,
        MeanSignJob(300),
        tmp_path,
        periods_per_year=252,
        on_fold=lambda index, _: ran.append(index),
    )
    assert again == whole
    assert ran == [f.index for f in folds]
    assert (tmp_path / "fold-000" / "result.json").stat().st_mtime_ns == before
    other = walk_forward(folds, MeanSignJob(300, seed=2), tmp_path, periods_per_year=252)
    assert other != whole


def test_summary_counts_positive_windows(tmp_path: Path) -> None:
    folds = make_folds(400, SMALL)
    result = walk_forward(folds, MeanSignJob(400), tmp_path, periods_per_year=252)
    summary, table = result.summary(), result.table()
    assert summary["windows"] == len(folds) == len(table)
    shares = [row["sharpe"] > 0 for row in table]
    assert summary["share_positive_sharpe"] == pytest.approx(np.mean(shares))
    assert summary["return"] == pytest.approx(np.prod([1 + row["return"] for row in table]) - 1)
    assert len(result.returns) == sum(row["bars"] for row in table)


def test_bad_windows() -> None:
    with pytest.raises(ConfigError, match="test_bars"):
        WindowConfig(test_bars=0)
    with pytest.raises(DataError, match="50 bars"):
        make_folds(50, SMALL)
    with pytest.raises(ConfigError, match="workers"):
        walk_forward((), MeanSignJob(), Path(), periods_per_year=252, workers=0)
