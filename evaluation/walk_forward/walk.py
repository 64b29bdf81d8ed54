"""Walk-forward: windows over time, a policy trained on the past of each, judged on its future.

The loop knows nothing about training: it receives a ``job`` that trains (or loads) and evaluates
one fold. With a fresh start folds are independent and may run in parallel processes; every fold
runs with one thread either way, so the number of workers changes no result
(:mod:`offline_trader.evaluation.walk_forward.fold_runs`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from offline_trader.errors import ConfigError
from offline_trader.evaluation.walk_forward.fold_runs import run_folds
from offline_trader.evaluation.walk_forward.results import (
    FoldJob,
    FoldResult,
    WalkForwardResult,
)
from offline_trader.evaluation.walk_forward.windows import Fold
from offline_trader.workers import Workers, read_workers

__all__ = ["walk_forward"]


def walk_forward(
    folds: Sequence[Fold],
    job: FoldJob,
    root: Path,
    *,
    periods_per_year: float,
    workers: Workers = 1,
    on_fold: Callable[[int, FoldResult], None] | None = None,
    on_progress: Callable[[float], None] | None = None,
    meanwhile: Callable[[], None] | None = None,
) -> WalkForwardResult:
    """Runs ``job`` on every fold and collects the results in time order.

    Finished folds in ``root`` that were made with the same settings are not run again. Folds of a
    warm start run in order, whatever ``workers`` is; only their data is then made ahead.

    Args:
        folds: from :func:`make_folds`.
        job: trains and judges one fold.
        root: folder of the folds' directories.
        periods_per_year: bars a year.
        workers: folds at once, or a Ray cluster (:data:`offline_trader.workers.Workers`).
        on_fold: told every fold that is done, stored ones included.
        on_progress: told how many folds are done, with the parts of those that are not.
        meanwhile: called once in this process while several workers are at it: for what has to be
            done anyway, such as imports.

    Raises:
        ConfigError: ``workers`` that are none, or no folds.
        OfflineTraderError: a worker process was killed.
    """
    workers = read_workers(workers)
    if not folds:
        raise ConfigError("walk-forward without folds", expected="at least one window")
    results: dict[int, FoldResult] = {}

    def keep(fold: Fold, result: FoldResult) -> None:
        results[fold.index] = result
        if on_fold is not None:
            on_fold(fold.index, result)

    run_folds(
        folds, job, root, workers=workers, keep=keep, progress=on_progress, meanwhile=meanwhile
    )
    ordered = tuple(results[fold.index] for fold in folds)
    return WalkForwardResult(tuple(folds), ordered, periods_per_year)
