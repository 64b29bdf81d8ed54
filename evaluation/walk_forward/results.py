"""What a walk-forward comes to: each fold's result, the table, the joined test ranges."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np

from offline_trader.errors import ConfigError
from offline_trader.evaluation.walk_forward.windows import Fold
from offline_trader.types import BoolArray, FloatArray

__all__ = ["FoldJob", "FoldResult", "WalkForwardResult"]


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
