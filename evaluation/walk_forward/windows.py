"""Walk-forward: windows over time, a policy trained on the past of each, judged on its future.

The loop knows nothing about training: it receives a ``job`` that trains (or loads) and evaluates
one fold. With a fresh start folds are independent and may run in parallel processes; every fold
runs with one thread either way, so the number of workers changes no result
(:mod:`offline_trader.evaluation.walk_forward.fold_runs`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np

from offline_trader.errors import ConfigError, DataError
from offline_trader.markets import BarRange
from offline_trader.types import BoolArray, FloatArray

__all__ = [
    "Fold",
    "FoldJob",
    "FoldResult",
    "WalkForwardResult",
    "WindowConfig",
    "make_folds",
    "walk_forward",
]


@dataclass(frozen=True)
class WindowConfig:
    """How bars are cut into folds. All lengths are in bars.

    Attributes:
        train_bars: length of the training range; with ``anchored`` the length of the first one.
        validation_bars: length of the range after it that picks the checkpoint.
        test_bars: length of the range that is judged; windows advance by this much, so that
            test ranges touch and never overlap.
        anchored: every training range starts at the first bar (expanding window).
        purge_bars: left out between training and validation and between validation and test,
            at least the longest label or holding horizon.
        embargo_bars: left out of training, at its end, after a previous test range has been seen
            (serial correlation); added to the purge.
        retrain_every: windows between trainings; those between reuse the last policy.
        warm_start: a training starts from the previous one's policy (folds run in order).
    """

    train_bars: int = 1260
    validation_bars: int = 252
    test_bars: int = 252
    anchored: bool = False
    purge_bars: int = 5
    embargo_bars: int = 0
    retrain_every: int = 1
    warm_start: bool = False

    def __post_init__(self) -> None:
        for name in ("train_bars", "validation_bars", "test_bars", "retrain_every"):
            if getattr(self, name) < 1:
                raise ConfigError(f"windows.{name} = {getattr(self, name)}", expected="1 or more")
        for name in ("purge_bars", "embargo_bars"):
            if getattr(self, name) < 0:
                raise ConfigError(f"windows.{name} = {getattr(self, name)}", expected="0 or more")


@dataclass(frozen=True)
class Fold:
    """One window.

    Attributes:
        index: 0-based position in time.
        train, validation, test: bar ranges, in this order, separated by the purge.
        trained_by: index of the fold whose training this fold uses (itself when it trains).
        warm_from: index of the fold whose policy training starts from, or None.
    """

    index: int
    train: BarRange
    validation: BarRange
    test: BarRange
    trained_by: int
    warm_from: int | None


@dataclass(frozen=True)
class FoldResult:
    """What a job found on one test range.

    Attributes:
        timestamps: [n] ISO timestamps of the bars at whose close the returns end.
        returns: [n] net simple returns per bar of the policy.
        benchmark: [n] the same of buy-and-hold under the same costs.
        facts: further JSON-able facts for the table (trades, verdicts, hashes).
    """

    timestamps: list[str]
    returns: list[float]
    benchmark: list[float]
    facts: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not len(self.timestamps) == len(self.returns) == len(self.benchmark):
            raise ConfigError(
                f"fold result of {len(self.timestamps)} timestamps, {len(self.returns)} returns "
                f"and {len(self.benchmark)} benchmark returns",
                expected="equal lengths",
            )


class FoldJob(Protocol):
    """Trains where ``fold.trained_by == fold.index``, then evaluates; picklable.

    ``prepare`` and ``train`` do ahead what needs no other fold's policy, and leave it in the
    fold's directory; with several workers they run in other processes than the call. They are
    asked only of folds that train; the call does what of them was not done. ``modules`` are what
    every process of it imports.
    """

    modules: ClassVar[tuple[str, ...]]

    def prepare(self, fold: Fold, directory: Path, /) -> None:
        """The shorter part that comes first, such as the dataset."""
        ...

    def train(self, fold: Fold, directory: Path, /) -> None:
        """The long part, after ``prepare``; not asked of folds with a warm start."""
        ...

    def __call__(self, fold: Fold, directory: Path, policies: Path, /) -> FoldResult:
        """Result of ``fold``. ``directory`` is the fold's own; ``policies`` holds one directory
        for each fold by index, for reuse and warm starts."""
        ...

    def to_dict(self) -> dict[str, Any]:
        """Everything that determines the result; its hash guards resumption."""
        ...


@dataclass(frozen=True)
class WalkForwardResult:
    """All folds in time order.

    Attributes:
        folds: the windows.
        results: one for each fold.
        periods_per_year: bars a year, for annualising.
    """

    folds: tuple[Fold, ...]
    results: tuple[FoldResult, ...]
    periods_per_year: float

    @property
    def returns(self) -> FloatArray:
        """Out-of-sample returns of all windows, one after the other."""
        return np.concatenate([np.asarray(r.returns) for r in self.results])

    @property
    def benchmark(self) -> FloatArray:
        """Buy-and-hold's returns on the same bars."""
        return np.concatenate([np.asarray(r.benchmark) for r in self.results])

    def table(self) -> list[dict[str, Any]]:
        """One row for each window: range, return, Sharpe ratio, drawdown, buy-and-hold's."""
        return [
            {
                "window": fold.index + 1,
                "start": result.timestamps[0][:10],
                "end": result.timestamps[-1][:10],
                "bars": len(result.returns),
                **_row(np.asarray(result.returns), self.periods_per_year, ""),
                **_row(np.asarray(result.benchmark), self.periods_per_year, "hold_"),
                **result.facts,
            }
            for fold, result in zip(self.folds, self.results, strict=True)
        ]

    def summary(self, seed: int = 0) -> dict[str, Any]:
        """Totals: share of windows with a positive Sharpe ratio, dispersion between them, and the
        joined test ranges beside buy-and-hold.

        Shares have Wilson's interval, Sharpe ratios and their difference the stationary
        bootstrap's (95 %), drawn with ``seed``; None where there are too few windows or bars.
        A window whose returns do not vary, as of a policy that never traded, is not above zero.
        """
        from offline_trader.evaluation.judging import above_zero

        rows = self.table()
        found = [above_zero(row["sharpe"], row["bars"]) for row in rows]
        above = [one for one in found if one is not None]
        sharpes = np.array([r["sharpe"] for r in rows if r["sharpe"] is not None], dtype=float)
        beaten = [r["return"] > r["hold_return"] for r in rows]
        return {
            "windows": len(rows),
            **_share("share_positive_sharpe", np.array(above, dtype=bool)),
            **_share("share_beating_hold", np.array(beaten)),
            **_dispersion(sharpes),
            **_row(self.returns, self.periods_per_year, ""),
            **_row(self.benchmark, self.periods_per_year, "hold_"),
            **self._intervals(seed),
        }

    def _intervals(self, seed: int) -> dict[str, Any]:
        from offline_trader.evaluation.measures import sharpe_ratio
        from offline_trader.evaluation.statistics import (
            Interval,
            NoInterval,
            measured_difference,
            measured_interval,
        )

        rng, year = np.random.default_rng(seed), self.periods_per_year
        found: dict[str, Interval | NoInterval] = {
            "sharpe": measured_interval(self.returns, "sharpe", year, rng=rng),
            "hold_sharpe": measured_interval(self.benchmark, "sharpe", year, rng=rng),
            "sharpe_difference": measured_difference(self.returns, self.benchmark, year, rng=rng),
        }
        own, held = (sharpe_ratio(each, year) for each in (self.returns, self.benchmark))
        return {
            "sharpe_difference": None if own is None or held is None else own - held,
            **{
                f"{name}_interval": list(each.ends) if isinstance(each, Interval) else None
                for name, each in found.items()
            },
            "no_interval": {
                name: each.reason for name, each in found.items() if isinstance(each, NoInterval)
            },
        }

    def to_dict(self, seed: int = 0) -> dict[str, Any]:
        """JSON form with the table, the summary (``seed``: of its intervals) and every return."""
        return {
            "summary": self.summary(seed),
            "table": self.table(),
            "folds": [asdict(fold) for fold in self.folds],
            "results": [asdict(result) for result in self.results],
        }


def _share(name: str, hits: BoolArray) -> dict[str, Any]:
    from offline_trader.evaluation.statistics import wilson_interval

    interval = wilson_interval(int(hits.sum()), hits.size)
    return {
        name: float(hits.mean()) if hits.size else None,
        f"{name}_interval": None if interval is None else list(interval),
    }


def _dispersion(sharpes: FloatArray) -> dict[str, float | None]:
    """Median, standard deviation and range of the windows' Sharpe ratios."""
    known = sharpes.size > 0
    return {
        "sharpe_median": float(np.median(sharpes)) if known else None,
        "sharpe_std_between_windows": float(np.std(sharpes, ddof=1)) if sharpes.size > 1 else None,
        "sharpe_lowest": float(sharpes.min()) if known else None,
        "sharpe_highest": float(sharpes.max()) if known else None,
    }


def _row(returns: FloatArray, periods_per_year: float, prefix: str) -> dict[str, float | None]:
    from offline_trader.evaluation.measures import max_drawdown, sharpe_ratio

    return {
        f"{prefix}return": float(np.prod(1.0 + returns) - 1.0),
        f"{prefix}sharpe": sharpe_ratio(returns, periods_per_year),
        f"{prefix}max_drawdown": max_drawdown(returns),
    }


def make_folds(n_bars: int, config: WindowConfig, first_bar: int = 0) -> tuple[Fold, ...]:
    """Folds over bars ``first_bar`` (the end of the features' warm-up) to ``n_bars``.

    Raises:
        DataError: not one window fits.
    """
    gap = config.purge_bars
    head = config.train_bars + config.embargo_bars + config.validation_bars + 2 * gap
    needed = first_bar + head + config.test_bars
    if n_bars < needed:
        raise DataError(
            f"walk-forward: {n_bars} bars",
            expected=f"at least {needed} for one window",
            hint="shorten windows.train_bars, windows.validation_bars or windows.test_bars",
        )
    folds = []
    for index in range((n_bars - first_bar - head) // config.test_bars):
        offset = first_bar + index * config.test_bars
        train_stop = offset + config.train_bars
        validation = train_stop + config.embargo_bars + gap
        test = validation + config.validation_bars + gap
        trained_by = index - index % config.retrain_every
        previous = trained_by - config.retrain_every
        folds.append(
            Fold(
                index=index,
                train=BarRange(first_bar if config.anchored else offset, train_stop),
                validation=BarRange(validation, validation + config.validation_bars),
                test=BarRange(test, test + config.test_bars),
                trained_by=trained_by,
                warm_from=previous if config.warm_start and previous >= 0 else None,
            )
        )
    return tuple(folds)


def walk_forward(
    folds: Sequence[Fold],
    job: FoldJob,
    root: Path,
    *,
    periods_per_year: float,
    workers: int = 1,
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
        workers: folds at once.
        on_fold: told every fold that is done, stored ones included.
        on_progress: told how many folds are done, with the parts of those that are not.
        meanwhile: called once in this process while several workers are at it: for what has to be
            done anyway, such as imports.

    Raises:
        ConfigError: ``workers`` below 1 or no folds.
        OfflineTraderError: a worker process was killed.
    """
    from offline_trader.evaluation.walk_forward.fold_runs import run_folds

    if workers < 1:
        raise ConfigError(f"walk-forward with {workers} workers", expected="1 or more")
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
