"""The joined test ranges of a walk-forward as one evaluation, with a row for each window."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from offline_trader.errors import ConfigError, DataError
from offline_trader.evaluation.judging import (
    ComparatorCurve,
    Curve,
    Evaluation,
    InstrumentRow,
    TrialLedger,
    TrialRecord,
    WindowRow,
    judge,
)
from offline_trader.evaluation.measures import regime_labels, regime_rows
from offline_trader.evaluation.walk_forward.results import WalkForwardResult
from offline_trader.markets import Bars
from offline_trader.simulator import SimulatorConfig
from offline_trader.types import FloatArray

__all__ = ["joined_evaluation", "load_windows"]


def joined_evaluation(
    result: WalkForwardResult,
    bars: Bars,
    rules: SimulatorConfig,
    *,
    seed: int = 0,
    ledger: TrialLedger | None = None,
    trial: Mapping[str, Any] | None = None,
) -> Evaluation:
    """The windows' returns, one after the other, judged as one curve beside buy-and-hold's.

    Args:
        result: the walk.
        bars: the instrument that it went over.
        rules: the trading rules of its backtests.
        seed: of the bootstrap; also the trial's seed.
        ledger: counts the walk as one trial of the project.
        trial: all that was chosen to get the result, for the ledger.
    """
    start, stop = result.folds[0].test.start - 1, result.folds[-1].test.stop
    stamps = np.datetime_as_string(bars.timestamps[start:stop].astype("datetime64[s]"))
    equity, held = (_equity(r, rules.initial_cash) for r in (result.returns, result.benchmark))
    name = f"walk-forward on {bars.symbol}"
    record = None
    if ledger is not None:
        config = {"walk_forward": dict(trial or {})}
        record = TrialRecord(ledger, config, seed, bars.sha256, name, (bars.symbol,))
    judged = judge(
        result.returns,
        result.periods_per_year,
        [ComparatorCurve("buy_and_hold", "benchmark", held)],
        trial=record,
        seed=seed,
    )
    labels = regime_labels(bars.close, start, stop)
    return Evaluation(
        name=name,
        kind="policy",
        fingerprint="",
        data_hash=bars.sha256,
        start=str(stamps[0]),
        end=str(stamps[-1]),
        n_bars=len(result.returns),
        periods_per_year=result.periods_per_year,
        trials=judged.trials,
        trials_counted=judged.trials_counted,
        simulator=asdict(rules),
        curve=Curve(tuple(stamps.tolist()), equity, close=bars.close[start:stop]),
        measures=judged.measures,
        intervals=judged.intervals,
        statistics=judged.statistics,
        comparators=judged.comparators,
        spa_p_value=judged.spa_p_value,
        instruments=(InstrumentRow(bars.symbol, bars.sha256, judged.measures),),
        regimes=regime_rows(result.returns, labels, result.periods_per_year, result.benchmark),
        windows=_windows(result),
        notes=(*_remarks(result), *judged.notes),
    )


def load_windows(run: Path, markets: Sequence[Bars]) -> tuple[WindowRow, ...]:
    """The windows of a finished walk-forward, for the report of a policy of the same line.

    Args:
        run: its run directory.
        markets: what the policy is evaluated on; the walk went over one of them.

    Raises:
        DataError: no finished walk-forward in ``run``.
        ConfigError: it went over other bars.
    """
    path = run / "evaluation.json"
    walk = Evaluation.load(path) if path.is_file() else None
    if walk is None or not walk.windows:
        raise DataError(
            f"{run} holds no finished walk-forward",
            expected="the run directory of `offline-trader walk-forward`",
        )
    if walk.data_hash not in [each.sha256 for each in markets]:
        raise ConfigError(
            f"the walk-forward in {run} went over other bars ({walk.instruments[0].symbol})",
            expected=f"a walk over {', '.join(each.symbol for each in markets)}",
        )
    return walk.windows


def _equity(returns: FloatArray, cash: float) -> FloatArray:
    return cash * np.concatenate([[1.0], np.cumprod(1.0 + returns)])


def _windows(result: WalkForwardResult) -> tuple[WindowRow, ...]:
    return tuple(
        WindowRow(
            name=str(row["window"]),
            start=row["start"],
            end=row["end"],
            n=row["bars"],
            sharpe=row["sharpe"],
            sharpe_interval=_interval(row["sharpe"], row["bars"], result.periods_per_year),
            total_return=row["return"],
            benchmark_return=row["hold_return"],
            max_drawdown=row["max_drawdown"],
            trades=row.get("trades"),
        )
        for row in result.table()
    )


def _interval(sharpe: float | None, n: int, periods_per_year: float) -> tuple[float, float] | None:
    """95 % interval of a Sharpe ratio by its large-sample error for independent returns
    (Lo 2002, equation 9): √((1 + SR²/2)/n) a period."""
    if sharpe is None:
        return None
    per_bar = sharpe / math.sqrt(periods_per_year)
    half = 1.96 * math.sqrt((1.0 + 0.5 * per_bar**2) / n) * math.sqrt(periods_per_year)
    return sharpe - half, sharpe + half


def _remarks(result: WalkForwardResult) -> list[str]:
    notes = ["Every window begins in cash; what is held at its end is marked, not sold."]
    found = Counter(v for each in result.results for v in each.facts.get("verdicts", ()))
    notes += [
        f"{verdict} in {count} of {len(result.results)} windows."
        for verdict, count in sorted(found.items())
    ]
    return notes
