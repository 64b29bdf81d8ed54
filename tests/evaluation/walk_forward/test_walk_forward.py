"""Windows, purge, resumption and parallel equality of the walk-forward loop."""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from offline_trader.errors import ConfigError, DataError, OfflineTraderError
from offline_trader.evaluation.statistics import wilson_interval
from offline_trader.evaluation.walk_forward import (
    Fold,
    FoldResult,
    Schedule,
    Task,
    WalkForwardResult,
    WindowConfig,
    make_folds,
    walk_forward,
)

SMALL = WindowConfig(train_bars=60, validation_bars=20, test_bars=25, purge_bars=3)


# Imported by a bare name, because new processes inherit sys.path and not pytest's import mode.
sys.path.insert(0, str(Path(__file__).parent))
_JOBS: Any = importlib.import_module("mean_sign_job")
MeanSignJob: Any = _JOBS.MeanSignJob
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


@pytest.mark.parametrize("warm_start", [False, True])
@pytest.mark.parametrize("retrain_every", [1, 2])
def test_parallel_equals_serial(tmp_path: Path, retrain_every: int, warm_start: bool) -> None:
    config = WindowConfig(
        60, 20, 25, purge_bars=3, retrain_every=retrain_every, warm_start=warm_start
    )
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


def test_an_interrupted_walk_goes_on_in_parallel(tmp_path: Path) -> None:
    config = WindowConfig(60, 20, 25, purge_bars=3, retrain_every=2)
    folds = make_folds(400, config)
    whole = walk_forward(folds, MeanSignJob(400), tmp_path, periods_per_year=252)
    for index in (0, 3, 5):
        (tmp_path / f"fold-{index:03d}" / "result.json").unlink()
    seen: list[int] = []
    again = walk_forward(
        folds,
        MeanSignJob(400),
        tmp_path,
        periods_per_year=252,
        workers=2,
        on_fold=lambda index, _: seen.append(index),
    )
    assert again == whole
    assert sorted(seen) == [fold.index for fold in folds]


@pytest.mark.parametrize("ended_by", [signal.SIGKILL, signal.SIGINT], ids=["kill", "interrupt"])
def test_workers_end_when_their_parent_is_ended(tmp_path: Path, ended_by: signal.Signals) -> None:
    program = (
        "import pathlib, signal, sys\n"
        "from mean_sign_job import StuckJob\n"
        "from offline_trader.evaluation.walk_forward import *\n"
        "if __name__ == '__main__':\n"
        "    signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "    folds = make_folds(300, WindowConfig(60, 20, 25))\n"
        "    root = pathlib.Path(sys.argv[1])\n"
        "    walk_forward(folds, StuckJob(300), root, periods_per_year=252, workers=2)\n"
    )
    script = tmp_path / "walk.py"
    script.write_text(program)
    with subprocess.Popen(
        [sys.executable, str(script), str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
        stderr=subprocess.DEVNULL,
    ) as parent:
        try:
            _wait_for(lambda: len(_stuck(tmp_path)) == 2)
            parent.send_signal(ended_by)
            parent.wait(60.0)
        finally:
            parent.kill()
    workers = _stuck(tmp_path)
    assert parent.pid not in workers
    _wait_for(lambda: not any(_alive(pid) for pid in workers))


def _stuck(root: Path) -> list[int]:
    """Process ids that stuck folds have written so far."""
    return [int(text) for file in root.glob("fold-*/pid") if (text := file.read_text())]


def _wait_for(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)


def _alive(pid: int) -> bool:
    """Whether the process runs; one that ended and was not reaped yet does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in ("Z", "X")


@pytest.mark.parametrize(("workers", "calls"), [(1, 0), (2, 1)])
def test_an_idle_worker_leaves_time_for_other_things(
    tmp_path: Path, workers: int, calls: int
) -> None:
    called: list[int] = []
    walk_forward(
        make_folds(300, SMALL),
        MeanSignJob(300),
        tmp_path,
        periods_per_year=252,
        workers=workers,
        meanwhile=lambda: called.append(1),
    )
    assert len(called) == calls


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("config", [SMALL, replace(SMALL, warm_start=True, retrain_every=2)])
def test_progress_grows_to_the_number_of_folds(
    tmp_path: Path, workers: int, config: WindowConfig
) -> None:
    folds = make_folds(300, config)
    seen: list[float] = []

    def walk() -> None:
        walk_forward(
            folds,
            MeanSignJob(300),
            tmp_path,
            periods_per_year=252,
            workers=workers,
            on_progress=seen.append,
        )

    walk()
    assert seen == sorted(seen)
    assert seen[-1] == len(folds)
    assert len({*seen}) > (len(folds) if workers == 2 else len(folds) - 1)
    (tmp_path / "fold-000" / "result.json").unlink()
    seen.clear()
    walk()
    assert seen[-1] == len(folds)


def test_a_killed_worker_is_named(tmp_path: Path) -> None:
    folds = make_folds(300, SMALL)
    job = _JOBS.StuckJob(300, dies=True)
    with pytest.raises(OfflineTraderError, match="worker process"):
        walk_forward(folds, job, tmp_path, periods_per_year=252, workers=2)


def test_a_failing_fold_does_not_wait_for_the_others(tmp_path: Path) -> None:
    folds = make_folds(300, SMALL)
    job = _JOBS.StuckJob(300, fails=True)
    with pytest.raises(ConfigError, match="the second fold fails"):
        walk_forward(folds, job, tmp_path, periods_per_year=252, workers=2)
    _wait_for(lambda: not any(_alive(pid) for pid in _stuck(tmp_path)))


def test_threads_are_as_before_after_a_walk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    walk_forward(
        make_folds(300, SMALL), MeanSignJob(300), tmp_path, periods_per_year=252, workers=2
    )
    assert os.environ["OMP_NUM_THREADS"] == "7"
    assert "MKL_NUM_THREADS" not in os.environ


@given(
    n_folds=st.integers(1, 12),
    workers=st.integers(1, 5),
    retrain_every=st.integers(1, 4),
    warm_start=st.booleans(),
)
def test_a_schedule_does_everything_once_and_in_order(
    n_folds: int, workers: int, retrain_every: int, warm_start: bool
) -> None:
    config = WindowConfig(60, 20, 25, retrain_every=retrain_every, warm_start=warm_start)
    folds = make_folds(90 + 25 * n_folds, config)
    assert len(folds) == n_folds
    done = [task for _, task in _simulated(folds, workers)]
    assert len(done) == len(set(done))
    for fold in folds:
        place = done.index(("run", fold.index))
        if fold.trained_by == fold.index:
            assert done.index(("prepare", fold.index)) < place
            if fold.warm_from is None:
                prepared = done.index(("prepare", fold.index))
                assert prepared < done.index(("train", fold.index)) < place
        else:
            assert done.index(("run", fold.trained_by)) < place
        if fold.warm_from is not None:
            assert done.index(("run", fold.warm_from)) < place


@pytest.mark.parametrize(
    ("n_folds", "workers", "warm_start", "units"),
    [
        # a fold is 1 + 8 + 1 units; five as wholes on two workers would take 30
        (5, 1, False, 50.0),
        (5, 2, False, 26.0),
        (4, 2, False, 20.0),
        (7, 3, False, 26.0),
        (3, 5, False, 10.0),
        # warm: the first as ever, then 1 unit each; their data is made meanwhile
        (5, 1, True, 18.0),
        (5, 2, True, 14.0),
    ],
)
def test_a_schedule_leaves_the_longest_part_the_fewest_rounds(
    n_folds: int, workers: int, warm_start: bool, units: float
) -> None:
    folds = make_folds(90 + 25 * n_folds, WindowConfig(60, 20, 25, warm_start=warm_start))
    assert _simulated(folds, workers)[-1][0] == units


UNITS = {"prepare": 1.0, "train": 8.0, "run": 1.0}


def _simulated(folds: Sequence[Fold], workers: int) -> list[tuple[float, tuple[str, int]]]:
    """(time, (kind, fold)) of every task's end, by a clock that only counts."""
    schedule = Schedule(folds, workers)
    clock = 0.0
    busy: list[tuple[float, Task]] = []
    done: list[tuple[float, tuple[str, int]]] = []
    while True:
        while len(busy) < workers and (task := schedule.next()) is not None:
            busy.append((clock + UNITS[task[0]], task))
        if not busy:
            return done
        first = min(busy, key=lambda each: each[0])
        busy.remove(first)
        clock = first[0]
        schedule.finished(first[1])
        done.append((clock, (first[1][0], first[1][1].index)))


def test_summary_counts_positive_windows(tmp_path: Path) -> None:
    folds = make_folds(400, SMALL)
    result = walk_forward(folds, MeanSignJob(400), tmp_path, periods_per_year=252)
    summary, table = result.summary(), result.table()
    assert summary["windows"] == len(folds) == len(table)
    shares = [row["sharpe"] > 0 for row in table]
    assert summary["share_positive_sharpe"] == pytest.approx(np.mean(shares))
    assert summary["return"] == pytest.approx(np.prod([1 + row["return"] for row in table]) - 1)
    low, high = summary["share_positive_sharpe_interval"]
    assert 0.0 <= low < np.mean(shares) <= high <= 1.0
    sharpes = [row["sharpe"] for row in table]
    assert summary["sharpe_std_between_windows"] == pytest.approx(np.std(sharpes, ddof=1))
    assert summary["sharpe_lowest"] == min(sharpes)
    assert summary["sharpe_highest"] == max(sharpes)
    assert summary["sharpe_interval"][0] < summary["sharpe"] < summary["sharpe_interval"][1]
    assert summary["sharpe_difference"] == pytest.approx(
        summary["sharpe"] - summary["hold_sharpe"], abs=1e-9
    )
    assert len(result.returns) == sum(row["bars"] for row in table)


def test_a_window_without_a_trade_is_not_above_zero() -> None:
    """It has no Sharpe ratio; leaving it out would make idle policies look better."""
    folds = make_folds(400, SMALL)[:4]
    stamps = [str(np.datetime64("2010-01-01") + i) for i in range(25)]
    up = (np.arange(25) % 3 * 0.01).tolist()
    results = [FoldResult(stamps, own, up) for own in (up, up, [0.0] * 25, [0.0] * 25)]
    summary = WalkForwardResult(folds, tuple(results), 252.0).summary()
    assert summary["share_positive_sharpe"] == 0.5
    assert summary["share_positive_sharpe_interval"] == list(wilson_interval(2, 4) or ())
    idle = WalkForwardResult(folds[2:], tuple(results[2:]), 252.0).summary()
    assert idle["share_positive_sharpe"] == 0.0
    one = WalkForwardResult(folds[:1], (FoldResult(stamps[:1], [0.1], [0.1]),), 252.0).summary()
    assert one["share_positive_sharpe"] is None


def test_bad_windows() -> None:
    with pytest.raises(ConfigError, match="test_bars"):
        WindowConfig(test_bars=0)
    with pytest.raises(DataError, match="50 bars"):
        make_folds(50, SMALL)
    with pytest.raises(ConfigError, match="workers"):
        walk_forward((), MeanSignJob(), Path(), periods_per_year=252, workers=0)
