"""Judges a curve: measures, intervals, evidence against luck, and its comparators.

An evaluated policy and an imported result pass through the same function, so their numbers can
stand side by side.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from offline_trader.evaluation.judging.ledger import CountedTrials, TrialLedger
from offline_trader.evaluation.judging.options import TrialScope
from offline_trader.evaluation.judging.record import Comparator
from offline_trader.evaluation.measures import performance, sharpe_ratio, why_undefined
from offline_trader.evaluation.statistics import (
    Interval,
    NoInterval,
    measured_difference,
    performance_intervals,
    sharpe_evidence,
    superior_to_benchmark,
)
from offline_trader.types import FloatArray

__all__ = ["Judgement", "ComparatorCurve", "TrialRecord", "judge"]

YEARS_FOR_SHARPE_08 = 4.2
"""Years before a true Sharpe ratio of 0.8 a year differs from 0 at 95 %, (1.645 / 0.8)²."""


@dataclass(frozen=True)
class ComparatorCurve:
    """A curve on the same bars: ``role`` is ``benchmark`` or ``expert``; ``equity`` [T + 1]."""

    name: str
    role: str
    equity: FloatArray


@dataclass(frozen=True)
class TrialRecord:
    """How the result enters the trial ledger.

    Attributes:
        ledger: of the project directory.
        config: all that was chosen to get this result, training included (JSON-able).
        seed: its seed.
        data_hash: of the evaluated bars.
        name: for people.
        markets: names of the instruments; empty: not known.
        scope: ``market``: held against the trials on these markets; ``project``: against all.
    """

    ledger: TrialLedger
    config: Mapping[str, Any]
    seed: int
    data_hash: str
    name: str
    markets: tuple[str, ...] = ()
    scope: TrialScope = "market"


@dataclass(frozen=True)
class Judgement:
    """What can be said of a return series; fields as in
    :class:`~offline_trader.evaluation.judging.record.Evaluation`."""

    measures: dict[str, float | None]
    intervals: dict[str, tuple[float, float]]
    statistics: dict[str, float | None]
    comparators: tuple[Comparator, ...]
    spa_p_value: float | None
    trials: int
    trials_counted: str
    notes: tuple[str, ...]


def judge(
    returns: FloatArray,
    periods_per_year: float,
    comparators: Sequence[ComparatorCurve] = (),
    *,
    trial: TrialRecord | None = None,
    seed: int = 0,
    replicates: int = 1000,
) -> Judgement:
    """Everything that follows from [T] simple returns and the comparators' curves.

    The trial is recorded first, so that the count includes it. Which others count says
    :mod:`~offline_trader.evaluation.judging.ledger`.

    Args:
        returns: [T] net simple returns.
        comparators: curves on the same bars.
        trial: where to count this result; without it N is 1 and a note says so.
        seed: of the bootstrap.
        replicates: bootstrap samples.
    """
    from offline_trader.evaluation.report.labels import label_of

    rng = np.random.default_rng(seed)
    notes = []
    counted = CountedTrials(())
    if trial is None:
        notes.append("No trial ledger was given: this result is counted as the only one.")
    else:
        counted = _recorded(trial, returns, periods_per_year)
        notes += counted.damaged
    trials, sharpes = max(1, counted.count), counted.sharpes(periods_per_year)
    evidence = sharpe_evidence(returns, periods_per_year, sharpes.tolist(), trials)
    if evidence.years < YEARS_FOR_SHARPE_08:
        notes.append(
            f"The range is {evidence.years:.1f} years long; {YEARS_FOR_SHARPE_08} years are needed "
            "before a true Sharpe ratio of 0.8 a year differs from 0 at 95 %, however short a bar."
        )
    measures = performance(returns, periods_per_year)
    missing = why_undefined(returns, measures, periods_per_year)
    found = performance_intervals(returns, periods_per_year, rng=rng, replicates=replicates)
    absent = {
        label_of(name).text: each.reason
        for name, each in found.items()
        if isinstance(each, NoInterval) and measures[name] is not None
    }
    compared = [_compared(returns, each, periods_per_year, rng, replicates) for each in comparators]
    beside = tuple(each for each, _ in compared)
    absent |= {
        f"the difference of Sharpe ratios to {each.name}": reason
        for each, reason in compared
        if reason and each.sharpe_difference is not None
    }
    missing = {label_of(name).text: reason for name, reason in missing.items()}
    notes += [*_reasons("Not defined:", missing), *_reasons("No interval of", absent)]
    p_values = [each.spa_p_value for each in beside]
    known = [p for p in p_values if p is not None]
    return Judgement(
        measures=measures,
        intervals={name: each.ends for name, each in found.items() if isinstance(each, Interval)},
        statistics=evidence.to_dict(),
        comparators=beside,
        # better than every one of them: the greatest p-value, as superior_to_all defines it
        spa_p_value=max(known) if known and len(known) == len(p_values) else None,
        trials=trials,
        trials_counted="" if trial is None else counted.described,
        notes=tuple(notes),
    )


def _recorded(trial: TrialRecord, returns: FloatArray, periods_per_year: float) -> CountedTrials:
    """The trials that the result is held against, it among them."""
    trial.ledger.record(
        trial.config,
        seed=trial.seed,
        data_hash=trial.data_hash,
        sharpe=sharpe_ratio(returns),
        n_bars=len(returns),
        periods_per_year=periods_per_year,
        name=trial.name,
        markets=trial.markets,
    )
    markets = trial.markets if trial.scope == "market" else None
    return trial.ledger.counted(markets, trial.data_hash)


def _compared(
    returns: FloatArray,
    curve: ComparatorCurve,
    periods_per_year: float,
    rng: np.random.Generator,
    replicates: int,
) -> tuple[Comparator, str]:
    """The comparator beside the result, and why their difference has no interval, if so."""
    theirs = curve.equity[1:] / curve.equity[:-1] - 1.0
    difference = measured_difference(
        returns, theirs, periods_per_year, rng=rng, replicates=replicates
    )
    interval = difference if isinstance(difference, Interval) else None
    mine, its = (sharpe_ratio(each, periods_per_year) for each in (returns, theirs))
    comparator = Comparator(
        name=curve.name,
        role=curve.role,
        equity=curve.equity,
        measures=performance(theirs, periods_per_year),
        sharpe_difference=None if mine is None or its is None else mine - its,
        sharpe_difference_interval=None if interval is None else interval.ends,
        spa_p_value=superior_to_benchmark(returns, theirs, rng=rng, replicates=replicates),
    )
    return comparator, difference.reason if isinstance(difference, NoInterval) else ""


def _reasons(begin: str, reasons: Mapping[str, str]) -> list[str]:
    """One note a reason: ``begin``, the names that it holds for, and the reason."""
    names: dict[str, list[str]] = {}
    for name, reason in reasons.items():
        names.setdefault(reason, []).append(name)
    return [f"{begin} {', '.join(each)}, because {reason}." for reason, each in names.items()]
