"""Seeds of one configuration: each seed's measures and their interquartile mean.

One training run is one draw. The seeds are evaluated on the same bars with the same rules; a
table of seeds and the mean of their middle half with its stratified bootstrap interval (Agarwal
et al. 2021) say what the configuration gives, and the seed with the median Sharpe ratio is the one
to look at closely where no validation has chosen one, because the best one would flatter.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from offline_trader.envs import EnvConfig
from offline_trader.errors import ConfigError
from offline_trader.evaluation.backtest import Strategy
from offline_trader.evaluation.judging.evaluation import evaluate
from offline_trader.evaluation.judging.ledger import TrialLedger
from offline_trader.evaluation.judging.options import EvaluateOptions
from offline_trader.evaluation.judging.record import Evaluation, ScoreRow
from offline_trader.evaluation.statistics import seed_summary

__all__ = ["SEED_MEASURES", "SeedRun", "SeedStudy", "seed_study"]

SEED_MEASURES = ("total_return", "cagr", "sharpe", "max_drawdown", "volatility", "turnover")
SEED_BEHAVIOUR = ("n_effective", "mi_norm", "trades_per_1000")


@dataclass(frozen=True, eq=False)
class SeedRun:
    """One seed's policy.

    Attributes:
        seed: of its training.
        strategy: the policy.
        trial: what was chosen to get it, for the trial ledger.
        name: for the trial ledger.
    """

    seed: int
    strategy: Strategy
    trial: Mapping[str, Any] = field(default_factory=dict)
    name: str = ""


@dataclass(frozen=True)
class SeedStudy:
    """What the seeds gave.

    Attributes:
        rows: one a seed, then their interquartile mean; over several instruments also the one
            over all instruments and seeds.
        median: index of the seed whose Sharpe ratio is the median (of an even number the lower).
    """

    rows: tuple[ScoreRow, ...]
    median: int


def seed_study(
    runs: Sequence[SeedRun],
    env: EnvConfig,
    options: EvaluateOptions,
    *,
    ledger: TrialLedger | None = None,
    own_seeds: bool = True,
    on_seed: Callable[[int], None] | None = None,
) -> SeedStudy:
    """Evaluates every seed without comparators and robustness runs, and summarises.

    Args:
        runs: two or more, each with another seed.
        env: markets, dates and trading rules.
        options: seed and size of the bootstrap.
        ledger: counts each seed as a trial.
        own_seeds: a seed's bootstrap and trial use the seed of its training, as they do when it is
            evaluated alone; otherwise ``options.seed``.
        on_seed: told how many seeds are done.

    Raises:
        ConfigError: fewer than two, or a seed twice.
    """
    seeds = [run.seed for run in runs]
    if len(seeds) < 2 or len(set(seeds)) < len(seeds):
        raise ConfigError(
            f"seeds {', '.join(map(str, seeds)) or 'none'}",
            expected="two or more runs that differ in their seed",
            hint="train them with --seed 0, --seed 1, … and otherwise the same settings",
        )
    brief = replace(options, experts=(), costs_bps=(), delay_bars=0, noise_draws=0, oracle=False)
    found = []
    for done, run in enumerate(runs, start=1):
        chosen = replace(brief, name=run.name, seed=run.seed if own_seeds else options.seed)
        found.append(evaluate(run.strategy, env, chosen, ledger=ledger, trial=run.trial))
        if on_seed is not None:
            on_seed(done)
    sharpes = [each.measures.get("sharpe") for each in found]
    order = np.argsort([-np.inf if s is None else s for s in sharpes], kind="stable")
    rows = [_row(run.seed, each) for run, each in zip(runs, found, strict=True)]
    summaries = _summaries(rows, found, np.random.default_rng(options.seed))
    return SeedStudy((*rows, *summaries), int(order[(len(order) - 1) // 2]))


def _row(seed: int, evaluation: Evaluation) -> ScoreRow:
    collapse = evaluation.collapse or {}
    measures = {name: evaluation.measures.get(name) for name in SEED_MEASURES}
    measures |= {name: collapse.get(name) for name in SEED_BEHAVIOUR}
    return ScoreRow(
        name=f"seed {seed}",
        value=evaluation.measures.get("sharpe"),
        interval=evaluation.intervals.get("sharpe"),
        note=", ".join(evaluation.verdicts) or "no collapse",
        measures=measures,
    )


def _summaries(
    rows: Sequence[ScoreRow], found: Sequence[Evaluation], rng: np.random.Generator
) -> list[ScoreRow]:
    """The interquartile means; a measure that some seed lacks has none."""
    means: dict[str, float | None] = {}
    intervals: dict[str, tuple[float, float]] = {}
    for name in rows[0].measures:
        known = [row.measures[name] for row in rows]
        if any(value is None for value in known):
            means[name] = None
            continue
        summary = seed_summary(np.array(known, dtype=np.float64), rng=rng)
        means[name] = summary.iqm
        if summary.interval is not None:
            intervals[name] = summary.interval
    few = "" if len(rows) >= 3 else "; an interval needs three"
    name = "interquartile mean"
    note = f"over {len(rows)} seeds{few}"
    sharpe = means["sharpe"], intervals.get("sharpe")
    summaries = [ScoreRow(name, *sharpe, note, summary=True, measures=means, intervals=intervals)]
    tasks = [
        [each.instruments[k].measures.get("sharpe") for each in found]
        for k in range(len(found[0].instruments))
    ]
    if len(tasks) > 1 and all(value is not None for task in tasks for value in task):
        across = seed_summary([np.array(task, dtype=np.float64) for task in tasks], rng=rng)
        note = f"of the Sharpe ratios on {len(tasks)} instruments, {len(rows)} seeds each"
        summaries.append(
            ScoreRow(
                f"{name} by instrument",
                across.iqm,
                across.interval,
                note,
                summary=True,
                measures={"sharpe": across.iqm},
            )
        )
    return summaries
